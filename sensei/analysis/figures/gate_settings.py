"""Interactions under other settings of the switch (paper Fig. 20)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions

if TYPE_CHECKING:
    from sensei.analysis.figures.bar_panels import Rows


class GateSettings(Interactions, Figure):
    """As figure `interactions`, of a study with methods that differ in percentile and weights."""

    title = "interactions under other settings of the switch (paper Fig. 20)"
    published = (20,)
    what = "Interactions during exploration under other settings of the switch (Table 1), totals over a run"

    def further_rows(self, environment: str) -> Rows:
        """None: the early checkpoints are of other methods."""
        return []
