"""The reward model."""

from typing import Literal

from pydantic import Field

from sensei.study.models.section import Section


class RewardModelConfig(Section):
    """Bradley-Terry reward model R_psi (paper Appendix B; docs/method.md, sections 1 and 3)."""

    architecture: Literal["paper", "small"] = Field("paper", description="small: half the channels and a quarter of the units")
    hidden: int = Field(512, ge=2, description="h: the head is h/2, h, 1")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    epochs: int = Field(50, ge=1)
    validation_share: float = Field(0.2, gt=0, lt=1)
    clip: float = Field(100.0, gt=0, description="the scorer clips its output to plus or minus this")
