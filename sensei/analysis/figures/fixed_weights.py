"""Interactions with fixed weights of the two rewards, in place of the switch (paper Fig. 19)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions

if TYPE_CHECKING:
    from sensei.analysis.figures.bar_panels import Rows


class FixedWeights(Interactions, Figure):
    """As figure `interactions`, of a study with methods that never switch."""

    title = "interactions with fixed weights against the switch (paper Fig. 19)"
    published = (19,)
    what = "Interactions during exploration with fixed weights and with the switch, totals over a run"

    def further_rows(self, environment: str) -> Rows:
        """None: the early checkpoints are of other methods."""
        return []
