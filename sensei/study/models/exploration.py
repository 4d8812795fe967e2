"""Methods: which rewards they maximise, and how these are weighed."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from sensei.core.plugins import names, stated
from sensei.study.models.section import Section
from sensei.study.models.training import TrainingConfig

AGENTS = "sensei.agents", "Agent", "algorithm"
SOURCES = "sensei.exploration", "Source", "reward source"


def _known(source: str) -> str:
    known = names(*SOURCES[:2])
    if ":" not in source and source not in known:
        raise ValueError(f"unknown reward source {source!r}; give one of {', '.join(known)}, or package.module:Class")
    return source


Source = Annotated[str, AfterValidator(_known)]
Weights = dict[Source, Annotated[float, Field(ge=0)]]


class EnsembleConfig(Section):
    """Latent disagreement ensemble (paper Eqs. 5 and 6, Appendix B)."""

    members: int = Field(8, ge=2, description="heads that predict the next stochastic state")
    learning_rate: float = Field(1e-4, gt=0)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(100.0, gt=0)


class ExplorationConfig(Section):
    """Go/explore switch of SENSEI for one environment: alpha, beta and chi of Eq. 8 by reward source (Appendix B)."""

    percentile: float = Field(90.0, ge=0, le=100, description="k of Q_k, in percent")
    go: Weights = Field({"semantic": 1.0, "disagreement": 0.1}, description="weights below the percentile; 0 for a source that is left out")
    explore: Weights = Field({"semantic": 0.3, "disagreement": 1.0}, description="weights from the percentile on")


class Method(Section):
    """What tells one method from another; nothing else differs between methods."""

    title: str = Field(description="name in figures")
    algorithm: str = Field("dreamer", description="agent of sensei/agents, or package.module:Class")
    sources: list[Source] = Field(
        [],
        description="rewards the exploration policy maximises, of sensei/exploration or package.module:Class; empty: it only learns tasks",
    )
    options: dict[str, dict[str, Any]] = Field({}, description="options of reward sources that have some, by source")
    gate: Literal["none", "reward_quantile", "return_range"] = Field(
        "none", description="reward_quantile: the paper's (Eq. 8); return_range: the released code's"
    )
    disagreement: Literal["variance", "standard_deviation"] = Field("variance", description="paper: variance; released code: std")
    percentile: float | None = Field(None, ge=0, le=100, description="null: the environment's")
    go: Weights | None = Field(None, description="null: the environment's")
    explore: Weights | None = Field(None, description="null: the environment's")
    annotator: str | None = Field(None, description="whose reward model; null: the study's first annotator")

    def agent(self, fact: str) -> Any:
        """What the algorithm says of itself (`sensei.agents.contract.Agent`), without importing it."""
        return stated(self.algorithm, *AGENTS)[fact]

    @property
    def explores(self) -> bool:
        """Whether the method has an exploration phase."""
        return bool(self.sources) or self.agent("explores")

    @property
    def needs_reward_model(self) -> bool:
        """Whether a semantic reward has to be distilled before the method can run."""
        return "semantic" in self.sources

    def learn_steps(self, training: TrainingConfig) -> int:
        """Agent steps of a task run."""
        return getattr(training, self.agent("steps_option")) or training.learn_steps

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.agent("takes_sources") and self.sources:
            raise ValueError(f"algorithm {self.algorithm} takes no `sources`; remove them")
        if repeated := [name for name in self.sources if self.sources.count(name) > 1]:
            raise ValueError(f"`sources` names {repeated[0]} twice; name each once")
        if self.gate != "none" and "semantic" not in self.sources:
            raise ValueError(f"gate {self.gate} compares the semantic reward; add `semantic` to `sources` or set `gate: none`")
        if strange := [name for name in self.options if name not in self.sources]:
            raise ValueError(f"`options` names {strange[0]!r}, which is none of the `sources`; remove it")
        return self
