"""Which frames are compared, and how good a set of labels must be."""

from typing import Literal, Self

from pydantic import Field, model_validator

from sensei.study.models.bounds import Pairs, Seed, Share
from sensei.study.models.names import File, Name
from sensei.study.models.section import MOST, Section, distinct


class PairsConfig(Section):
    """Which frames are compared."""

    kind: Literal["random", "contrastive"] = Field(
        "random",
        description="random: any two frames; contrastive: one that the oracle finds very good and one it finds very bad (Robodesk only)",
    )
    number: Pairs = Field(100_000, description="pairs asked for")
    seeds: list[Seed] = Field([0], min_length=1, max_length=MOST, description="collection runs (exploration seeds) the frames come from")
    shards: int = Field(8, ge=1, le=200, description="annotation jobs the pairs are split into")
    prompt: File = Field("general", description="file of config/prompts for annotators that are given none of their own")

    @model_validator(mode="after")
    def _seeds_are_distinct(self) -> Self:
        distinct("seeds", self.seeds)
        return self


class LabelsConfig(Section):
    """How pairs are put to annotators, and how good a set of labels must be before anything is distilled from it.

    A threshold stops the study if the 95 % interval of the measured share lies beyond it; what was not measured stops nothing.
    """

    order: Literal["random", "both"] = Field(
        "random", description="random: each pair in one order, drawn; both: in both orders, and only consistent answers are kept"
    )
    both_orders: Share = Field(
        0.05, description="order random: share of pairs asked in the other order too, to measure order bias (paper: 0)"
    )
    views: list[Name] = Field(
        [], max_length=MOST, description="views each pair is asked in; only what all say alike is kept; empty: the first view alone"
    )
    largest_order_bias: Share | None = Field(
        0.5, description="share of clear answers that the position decides: 0 none, 1 all; null: no limit"
    )
    smallest_swap_consistency: Share | None = Field(
        0.5, description="share of equal answers among pairs asked in both orders; null: no limit"
    )
    smallest_agreement: Share | None = Field(
        0.7, description="accuracy against the oracle, where there is one; 0.5 is chance; null: no limit"
    )
    largest_unknown: Share | None = Field(
        0.95, description="share of unknown labels, of which nothing is learned, honest ones too; null: no limit"
    )

    @model_validator(mode="after")
    def _views_are_distinct(self) -> Self:
        distinct("views", self.views)
        return self

    @property
    def reversed_share(self) -> float:
        """Share of the pairs that are asked in both orders."""
        return 1.0 if self.order == "both" else self.both_orders

    @property
    def asked_views(self) -> list[str | None]:
        """Views in which each question is asked; None is the first one."""
        return self.views or [None]
