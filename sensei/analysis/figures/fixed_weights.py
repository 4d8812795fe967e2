"""Interactions with fixed weights of the two rewards, in place of the switch (paper Fig. 19)."""

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions


class FixedWeights(Interactions, Figure):
    """As figure `interactions`, of a study with methods that never switch."""

    title = "interactions with fixed weights against the switch (paper Fig. 19)"
    published = (19,)
    what = "Interactions during exploration with fixed weights and with the switch, totals over a run"
    checkpoints = False  # they are of other methods
