"""What the environment is."""

from typing import Any

from pydantic import Field

from sensei.study.models.section import Section

ENVIRONMENTS = "sensei.envs", "Environment", "environment family"


class EnvironmentConfig(Section):
    """What the environment is; everything here but the options is a fact of the benchmark, not a choice of the study."""

    family: str = Field(description="module below sensei/envs, e.g. minihack, or package.module:Class")
    level: str = Field(description="name inside the family, e.g. KeyRoom-S15; for `pixels` a Gymnasium id")
    tasks: list[str] = Field(
        min_length=1,
        description="tasks that are learned after exploration, as named in paths and figures; exploration pays the first one's reward",
    )
    title: str = Field(description="name in figures")
    episode_steps: int = Field(ge=1, description="agent steps until the episode is truncated")
    events: list[str] = Field(min_length=1, description="events counted at each step, in the order of the figures")
    options: dict[str, Any] = Field({}, description="what the family lets a study choose: `Options` of its class")
