"""Network presets. S, M, L and XL are DreamerV3's of January 2023 (paper, Appendix B uses S and M); XS is ours, for laptops, and tiny is
what `python -m sensei bench update` compares with other implementations."""

from dataclasses import dataclass, replace

from sensei.study.models.world_model import WorldModelConfig


@dataclass(frozen=True)
class Size:
    """Widths of one preset.

    Attributes:
        deter: units of the deterministic memory h.
        stoch, classes: categorical variables of the stochastic state z, and classes of each.
        depth: channels of the first convolution; the others have 2, 4, 8 times as many.
        units, layers: width and number of hidden layers of every head, and width of the RSSM's layers.
        vector_units, vector_layers: the same for encoder and decoder of the flags.
    """

    deter: int
    stoch: int
    classes: int
    depth: int
    units: int
    layers: int
    vector_units: int = 1024
    vector_layers: int = 5


SIZES = {
    "tiny": Size(deter=128, stoch=8, classes=8, depth=8, units=128, layers=2),
    "XS": Size(deter=128, stoch=16, classes=8, depth=8, units=128, layers=1, vector_units=64, vector_layers=1),
    "S": Size(deter=512, stoch=32, classes=32, depth=32, units=512, layers=2),
    "M": Size(deter=1024, stoch=32, classes=32, depth=48, units=640, layers=3),
    "L": Size(deter=2048, stoch=32, classes=32, depth=64, units=768, layers=4),
    "XL": Size(deter=4096, stoch=32, classes=32, depth=96, units=1024, layers=5),
}


def size_of(config: WorldModelConfig) -> Size:
    """The preset with what the study changes."""
    return replace(SIZES[config.size], **config.network.model_dump(exclude_none=True))
