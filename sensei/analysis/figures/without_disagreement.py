"""Interactions without information gain: VLM-Motif follows the semantic reward alone (paper Fig. 18)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.interactions import Interactions

if TYPE_CHECKING:
    from sensei.analysis.figures.bar_panels import Rows


class WithoutDisagreement(Interactions, Figure):
    """As figure `interactions`, of a study with VLM-Motif."""

    title = "interactions without information gain (paper Fig. 18)"
    published = (18,)
    what = "Interactions during exploration with and without information gain, totals over a run"

    def further_rows(self, environment: str) -> Rows:
        """None: the early checkpoints are of other methods."""
        return []
