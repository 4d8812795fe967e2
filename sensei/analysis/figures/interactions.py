"""Interactions during exploration (paper Figs. 5 and 6)."""

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import interactions
from sensei.analysis.style import Drawing
from sensei.envs.registry import family
from sensei.study.models.study import Study


class Interactions(Figure):
    """Bars of the mean over seeds, seeds as points; published values in a row of their own where steps differ."""

    title = "interactions during exploration (paper Figs. 5 and 6)"
    published = (5, 6)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per kind of interaction."""
        from sensei.analysis.figures import bars

        rows: bars.Rows = []
        for environment in study.environments:
            settings = study.settings[environment].environment
            rows += bars.rows_of_panels(study, data, environment, interactions(settings), self.published)
            rows += bars.checkpoint_rows(family(settings).published_name(settings))
        return bars.draw(rows, bars.caption(study, rows, "Interactions during exploration, totals over a run"))

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars; below them, where there are any, the counts in the logs of the authors' runs."""
        from sensei.analysis.figures import bars

        rows = bars.rows_of_figure(number)
        text = bars.published_caption(number, rows, "interactions during exploration")
        early = [row for _, table in rows for row in bars.checkpoint_rows(table["environment"].iloc[0])]
        if early:
            text += " Below: counted in the logs of the authors' own runs at an early checkpoint (exact); nothing is rescaled."
        return bars.draw(rows + early, text)
