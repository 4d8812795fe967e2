"""Score of a task over task steps (paper Figs. 7 and 21)."""

import pandas as pd

from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study

NOTES = {21: " The curve of SENSEI on upright block off table ends where it had converged, and goes on dotted."}  # of figures of the paper


class Learn(Figure):
    """Mean over seeds as a line, bootstrap band, seeds as thin lines; published curves in a panel of their own where steps differ."""

    title = "score of the task over task steps (paper Figs. 7 and 21)"
    published = (7, 21)
    phases = ("learn",)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per task."""
        from sensei.analysis.figures import curves

        until = {environment: study.settings[environment].training.learn_steps for environment in study.environments}
        scores = data[data["step"] <= 1.01 * data["environment"].map(until)]  # PPO may have run on
        found = curves.columns(study, scores, study.learn, self.published)
        return curves.draw(found, curves.caption(study, found, study.learn, self.published), curves.x_label(self.published))

    def draw_published(self, number: int) -> Drawing:
        """The paper's curves."""
        from sensei.analysis.figures import curves

        caption = (
            f"Published values (paper Fig. {number}, read off the figure, about 0.03): score of one evaluation episode per seed over "
            f"{curves.x_label((number,))}, mean over 10 seeds, moving average over {curves.window((number,))} evaluations. The width of "
            "the published bands was not read."
        )
        return curves.draw(curves.published_columns(number), caption + NOTES.get(number, ""), curves.x_label((number,)))
