"""The world model."""

from typing import Literal

from pydantic import Field

from sensei.study.models.bounds import Epsilon, Limit, Rate, Side, Weight
from sensei.study.models.section import Section


class WorldModelConfig(Section):
    """World model (paper Eqs. 1 to 4, Appendix B)."""

    size: Literal["tiny", "XS", "S", "M", "L", "XL"] = Field("S", description="network preset, see sensei/world_model/sizes.py")
    image_size: Side = Field(64, description="side of the agent's picture in pixels (paper: 64)")
    free_nats: Weight = Field(1.0, description="KL below this many nats is not penalised")
    dynamics_scale: Weight = Field(0.5, description="weight of the KL that moves the prior")
    representation_scale: Weight = Field(0.1, description="weight of the KL that moves the posterior")
    uniform_mix: float = Field(0.01, ge=0, lt=1, description="share of the uniform distribution in every categorical")
    learning_rate: Rate = Field(1e-4, description="Adam step size")
    epsilon: Epsilon = Field(1e-8, description="Adam epsilon")
    clip: Limit = Field(1000.0, description="largest gradient norm")
