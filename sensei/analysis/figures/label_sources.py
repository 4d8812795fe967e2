"""Interactions by who labelled the pairs and where the frames are from (paper Fig. 14)."""

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions


class LabelSources(Interactions, Figure):
    """As figure `interactions`, of a study whose methods differ in their labels."""

    title = "interactions by annotator and data (paper Fig. 14)"
    published = (14,)
    what = "Interactions during exploration by annotator and data, totals over a run"
    checkpoints = False  # they are of other methods
