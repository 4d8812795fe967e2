"""The world model."""

from typing import Literal

from pydantic import Field

from sensei.study.models.bounds import Classes, Count, Epsilon, Limit, Mix, Rate, Side, Weight, Width
from sensei.study.models.section import Section


class NetworkConfig(Section):
    """What a network has otherwise than its preset; null: as the preset (sensei/world_model/sizes.py)."""

    deter: Width | None = Field(None, description="units of the memory h")
    stoch: Classes | None = Field(None, description="categorical variables of the state z")
    classes: Classes | None = Field(None, description="classes of each")
    depth: Classes | None = Field(None, description="channels of the first convolution")
    units: Width | None = Field(None, description="width of heads and dynamics")
    layers: Count | None = Field(None, description="hidden layers of every head: actor, critics, ensemble, rewards, end of episode")
    vector_units: Width | None = Field(None, description="width of the flags' encoder and decoder")
    vector_layers: Count | None = Field(None, description="hidden layers of the flags' encoder and decoder")


class WorldModelConfig(Section):
    """World model (paper Eqs. 1 to 4, Appendix B)."""

    size: Literal["tiny", "XS", "S", "M", "L", "XL"] = Field("S", description="network preset, see sensei/world_model/sizes.py")
    network: NetworkConfig = Field(NetworkConfig(), description="what differs from the preset")
    image_size: Side = Field(64, description="side of the agent's picture in pixels (paper: 64)")
    free_nats: Weight = Field(1.0, description="KL below this many nats is not penalised")
    representation_free_nats: Weight | None = Field(
        None,
        description="the same for the KL that moves the posterior alone; null: free_nats (paper). With fewer for the prior it goes on "
        "learning what is almost foreseen, while the posterior keeps its freedom",
    )
    image_weight: Weight = Field(
        1.0,
        description="weight of the image loss (paper: 1), which is a sum over pixels: a picture of 24 pixels weighs a seventh of one of 64",
    )
    flag_weight: Weight = Field(1.0, description="weight of the loss of the flags (paper: 1), a bit or two beside the sum over all pixels")
    dynamics_scale: Weight = Field(0.5, description="weight of the KL that moves the prior")
    representation_scale: Weight = Field(0.1, description="weight of the KL that moves the posterior")
    uniform_mix: Mix = Field(0.01, description="share of the uniform distribution in every categorical")
    learning_rate: Rate = Field(1e-4, description="Adam step size")
    epsilon: Epsilon = Field(1e-8, description="Adam epsilon")
    clip: Limit = Field(1000.0, description="largest gradient norm")
