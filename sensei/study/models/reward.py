"""The reward model."""

from typing import Literal

from pydantic import Field

from sensei.study.models.bounds import Count, Limit, Rate, Rounds, Share
from sensei.study.models.section import Section


class RewardModelConfig(Section):
    """Bradley-Terry reward model R_psi (paper Appendix B; docs/method.md, sections 1 and 3)."""

    architecture: Literal["paper", "small"] = Field("paper", description="small: half the channels and a quarter of the units")
    hidden: Count = Field(512, ge=2, description="h: the head is h/2, h, 1")
    batch_size: Count = Field(32)
    learning_rate: Rate = Field(1e-4)
    weight_decay: Share = Field(1e-5)
    epochs: Rounds = Field(50)
    validation_share: float = Field(0.2, gt=0, lt=1)
    clip: Limit = Field(100.0, description="the scorer clips its output to plus or minus this")
    centred: bool = Field(
        False,
        description="shift the rewards so that the frames of the pairs learned from have 0 on average, which changes no preference and no "
        "loss (paper: not). Critics begin at 0, so what lies far from it is at first one large advantage of every action",
    )
