"""Interactions with fixed weights of the two rewards, in place of the switch (paper Fig. 19)."""

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class FixedWeights(Interactions, Figure):
    """As figure `interactions`, of methods that never switch and the first one that does."""

    title = "interactions with fixed weights against the switch (paper Fig. 19)"
    published = (19,)
    what = "Interactions during exploration with fixed weights and with the switch, totals over a run"
    checkpoints = False  # they are of other methods

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per kind of interaction."""
        others = [name for name in study.explore if study.methods[name].gate != "none"][1:]
        return super().draw(study.model_copy(update={"explore": [name for name in study.explore if name not in others]}), data)
