"""Interactions without information gain: VLM-Motif follows the semantic reward alone (paper Fig. 18)."""

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions


class WithoutDisagreement(Interactions, Figure):
    """As figure `interactions`, of a study with VLM-Motif."""

    title = "interactions without information gain (paper Fig. 18)"
    published = (18,)
    what = "Interactions during exploration with and without information gain, totals over a run"
    checkpoints = False  # they are of other methods
