"""Methods: which rewards they maximise, and how these are weighed."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sensei.study.models.section import Section

Source = Literal["extrinsic", "disagreement", "semantic"]


class EnsembleConfig(Section):
    """Latent disagreement ensemble (paper section 2.3)."""

    members: int = Field(8, ge=2, description="heads that predict the next stochastic state")
    learning_rate: float = Field(1e-4, gt=0)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(100.0, gt=0)


class Weights(Section):
    """Weight of each reward source in the exploration objective (alpha, beta and chi of Eq. 8)."""

    extrinsic: float = Field(0.0, ge=0)
    disagreement: float = Field(0.0, ge=0)
    semantic: float = Field(0.0, ge=0)


class ExplorationConfig(Section):
    """Go/explore switch of SENSEI for one environment (Appendix B)."""

    percentile: float = Field(90.0, ge=0, le=100, description="k of Q_k, in percent")
    go: Weights = Field(Weights(semantic=1.0, disagreement=0.1), description="weights below the percentile")
    explore: Weights = Field(Weights(semantic=0.3, disagreement=1.0), description="weights from the percentile on")


class Method(Section):
    """What tells one method from another; nothing else differs between methods."""

    title: str = Field(description="name in figures")
    algorithm: Literal["dreamer", "ppo", "random"] = "dreamer"
    sources: list[Source] = Field([], description="rewards the exploration policy maximises; empty: the method only learns tasks")
    gate: Literal["none", "reward_quantile", "return_range"] = Field(
        "none", description="reward_quantile: the paper's (Eq. 8); return_range: the released code's"
    )
    disagreement: Literal["variance", "standard_deviation"] = Field("variance", description="paper: variance; released code: std")
    percentile: float | None = Field(None, ge=0, le=100, description="null: the environment's")
    go: Weights | None = Field(None, description="null: the environment's")
    explore: Weights | None = Field(None, description="null: the environment's")
    annotator: str | None = Field(None, description="whose reward model; null: the study's first annotator")

    @property
    def explores(self) -> bool:
        """Whether the method has an exploration phase."""
        return bool(self.sources) or self.algorithm == "random"

    @property
    def needs_reward_model(self) -> bool:
        """Whether a semantic reward has to be distilled before the method can run."""
        return "semantic" in self.sources

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.algorithm != "dreamer" and self.sources:
            raise ValueError(f"`sources` belong to algorithm dreamer, not to {self.algorithm}; remove them")
        if self.gate != "none" and "semantic" not in self.sources:
            raise ValueError(f"gate {self.gate} compares the semantic reward; add `semantic` to `sources` or set `gate: none`")
        return self
