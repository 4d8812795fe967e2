"""The world model."""

from typing import Literal

from pydantic import Field

from sensei.study.models.section import Section


class WorldModelConfig(Section):
    """World model (paper Eqs. 1 to 4, Appendix B)."""

    size: Literal["tiny", "XS", "S", "M", "L", "XL"] = Field("S", description="network preset, see sensei/world_model/sizes.py")
    image_size: int = Field(64, ge=16, multiple_of=8, description="side of the agent's picture in pixels (paper: 64)")
    free_nats: float = Field(1.0, ge=0, description="KL below this many nats is not penalised")
    dynamics_scale: float = Field(0.5, ge=0, description="weight of the KL that moves the prior")
    representation_scale: float = Field(0.1, ge=0, description="weight of the KL that moves the posterior")
    uniform_mix: float = Field(0.01, ge=0, lt=1, description="share of the uniform distribution in every categorical")
    learning_rate: float = Field(1e-4, gt=0, description="Adam step size")
    epsilon: float = Field(1e-8, gt=0, description="Adam epsilon")
    clip: float = Field(1000.0, gt=0, description="largest gradient norm")
