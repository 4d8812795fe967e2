"""Interactions during exploration (paper Figs. 5 and 6)."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import interactions
from sensei.analysis.style import Drawing
from sensei.envs.registry import family
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from sensei.analysis.figures.bar_panels import Rows


class Interactions(Figure):
    """Bars of the mean over seeds, seeds as points; published values in a row of their own where steps differ."""

    title = "interactions during exploration (paper Figs. 5 and 6)"
    published = (5, 6)
    phases = ("explore",)
    what: ClassVar[str] = "Interactions during exploration, totals over a run"
    checkpoints: ClassVar[bool] = True  # whether rows of the authors' runs at an early checkpoint stand below

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per kind of interaction."""
        from sensei.analysis.figures import bar_panels, bars

        rows: Rows = []
        for environment in study.environments:
            settings = study.settings[environment].environment
            rows += bars.rows_of_panels(study, data, environment, interactions(settings), self.published)
            rows += self._further_rows(family(settings).published_name(settings))
        return bar_panels.draw(rows, bars.caption(study, rows, self.what))

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars, and the `checkpoints` below them."""
        from sensei.analysis.figures import bar_panels, bars

        rows = bars.rows_of_figure(number)
        text = bars.published_caption(number, rows, self.what[0].lower() + self.what[1:])
        further = [row for _, table in rows for row in self._further_rows(table["environment"].iloc[0])]
        if further:
            text += " Below: counted in the logs of the authors' own runs at an early checkpoint (exact); nothing is rescaled."
        return bar_panels.draw(rows + further, text)

    def _further_rows(self, environment: str) -> Rows:
        """Rows below those of `environment`, by its published name."""
        from sensei.analysis.figures import bars

        return bars.checkpoint_rows(environment) if self.checkpoints else []
