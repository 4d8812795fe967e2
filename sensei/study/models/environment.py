"""What the environment is."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sensei.study.models.section import Section


class RobodeskOptions(Section):
    """Choices that the published Robodesk numbers depended on; the defaults are the paper's."""

    render_quality: Literal["full", "fast"] = Field(
        "full", description="full: shadows, reflections and multisampling (paper); fast: none of them, many times as fast on a CPU"
    )
    original_positions: Literal["views", "copies"] = Field(
        "views", description="views: no body ever counts as moved, upstream's mistake (paper); copies: as upstream's tasks mean it"
    )
    reward: Literal["sparse", "dense", "success"] = Field(
        "sparse", description="reward of training: sparse (paper), success at every step; dense, shaped; success, once an episode"
    )


class EnvironmentConfig(Section):
    """What the environment is; everything here is a fact of the benchmark, not a choice of the study."""

    family: Literal["minihack", "robodesk", "toy", "pixels"] = Field(description="module of sensei.envs that makes it")
    level: str = Field(description="name inside the family, e.g. KeyRoom-S15; for `pixels` a Gymnasium id")
    tasks: list[str] = Field(
        min_length=1,
        description="tasks learned downstream, as named in paths and figures; exploration pays the first one's reward",
    )
    title: str = Field(description="name in figures")
    episode_steps: int = Field(ge=1, description="agent steps until the episode is truncated")
    events: list[str] = Field(min_length=1, description="events counted at each step, in the order of the figures")
    robodesk: RobodeskOptions | None = Field(None, description="choices of family robodesk; null: the paper's")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.robodesk and self.family != "robodesk":
            raise ValueError(f"`robodesk` belongs to family robodesk, not to {self.family}; remove it")
        return self
