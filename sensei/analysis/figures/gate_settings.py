"""Interactions under other settings of the switch (paper Fig. 20)."""

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions


class GateSettings(Interactions, Figure):
    """As figure `interactions`, of a study with methods that differ in percentile and weights."""

    title = "interactions under other settings of the switch (paper Fig. 20)"
    published = (20,)
    what = "Interactions during exploration under other settings of the switch (Table 1), totals over a run"
    checkpoints = False  # they are of other methods
