"""Methods: which rewards they maximise, and how these are weighed."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from sensei.core.plugins import stated
from sensei.study.models.bounds import Count, Epsilon, Limit, Percent, Rate, Weight
from sensei.study.models.names import Name, Plugin, Text, known
from sensei.study.models.section import Section, distinct

AGENTS = "sensei.agents", "Agent", "algorithm"
SOURCES = "sensei.exploration", "Source", "reward source"
Source = Annotated[Plugin, known(*SOURCES)]
Weights = dict[Source, Weight]


class EnsembleConfig(Section):
    """Latent disagreement ensemble (paper Eqs. 5 and 6, Appendix B)."""

    members: Count = Field(8, ge=2, le=256, description="heads that predict the next stochastic state")
    learning_rate: Rate = Field(1e-4)
    epsilon: Epsilon = Field(1e-5)
    clip: Limit = Field(100.0)


class ExplorationConfig(Section):
    """Go/explore switch of SENSEI for one environment: alpha, beta and chi of Eq. 8 by reward source (Appendix B)."""

    percentile: Percent = Field(90.0, description="k of Q_k, in percent")
    go: Weights = Field({"semantic": 1.0, "disagreement": 0.1}, description="weights below the percentile; 0 for a source that is left out")
    explore: Weights = Field({"semantic": 0.3, "disagreement": 1.0}, description="weights from the percentile on")


class Method(Section):
    """What tells one method from another; nothing else differs between methods."""

    title: Text = Field(description="name in figures")
    algorithm: Plugin = Field("dreamer", description="agent of sensei/agents, or package.module:Class")
    sources: list[Source] = Field(
        [],
        description="rewards the exploration policy maximises, of sensei/exploration or package.module:Class; empty: it only learns tasks",
    )
    options: dict[str, dict[str, Any]] = Field({}, description="options of reward sources that have some, by source")
    gate: Literal["none", "reward_quantile", "return_range"] = Field(
        "none", description="reward_quantile: the paper's (Eq. 8); return_range: the released code's"
    )
    disagreement: Literal["variance", "standard_deviation"] = Field(
        "standard_deviation",
        description="of the members of the ensemble. standard_deviation: the code behind the published numbers; variance: the paper's "
        "Eq. 6, so small that the policy follows its entropy bonus",
    )
    percentile: Percent | None = Field(None, description="null: the environment's")
    go: Weights | None = Field(None, description="null: the environment's")
    explore: Weights | None = Field(None, description="null: the environment's")
    annotator: Name | None = Field(None, description="whose reward model; null: the study's first annotator")

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

    @property
    def weighs_always_alike(self) -> bool:
        """Whether the semantic reward has a fixed weight beside others (Eq. 9), in place of the switch."""
        return self.needs_reward_model and len(self.sources) > 1 and self.gate == "none"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.agent("takes_sources") and self.sources:
            raise ValueError(f"algorithm {self.algorithm} takes no `sources`; remove them")
        distinct("sources", self.sources)
        if self.gate != "none" and "semantic" not in self.sources:
            raise ValueError(f"gate {self.gate} compares the semantic reward; add `semantic` to `sources` or set `gate: none`")
        if strange := [name for name in self.options if name not in self.sources]:
            raise ValueError(f"`options` names {strange[0]!r}, which is none of the `sources`; remove it")
        return self
