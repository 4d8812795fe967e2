"""Interactions under other settings of the switch (paper Fig. 20)."""

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class GateSettings(Interactions, Figure):
    """As figure `interactions`, of all methods but those with fixed weights of the two rewards."""

    title = "interactions under other settings of the switch (paper Fig. 20)"
    published = (20,)
    what = "Interactions during exploration under other settings of the switch (Table 1), totals over a run"
    checkpoints = False  # they are of other methods

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per kind of interaction."""
        kept = [name for name in study.explore if not study.methods[name].weighs_always_alike]
        return super().draw(study.model_copy(update={"explore": kept}), data)
