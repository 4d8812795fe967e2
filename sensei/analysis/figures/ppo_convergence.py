"""PPO alone, until it converges (paper Fig. 13)."""

import pandas as pd

from sensei.analysis.figures import fitting
from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class PpoConvergence(Figure):
    """As figure `learn`, of the methods with steps of their own (`training.own_steps`) alone, to their last step."""

    title = "PPO alone, until it converges (paper Fig. 13)"
    published = (13,)
    phases = ("learn",)

    def check(self, study: Study) -> None:
        """That a method learns for steps of its own."""
        super().check(study)
        fitting.longer(self, study)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per task."""
        from sensei.analysis.figures import curves

        return curves.draw_longer(study, data, self)

    def draw_published(self, number: int) -> Drawing:
        """The paper's curves."""
        from sensei.analysis.figures import curves

        caption = (
            f"Published values (paper Fig. {number}, read off the figure, about 0.03): score of PPO over {curves.x_label((number,))} since "
            f"the start of training, mean over 10 seeds, moving average over {curves.window((number,))} evaluations. Sampled sparsely: "
            "single points say little."
        )
        return curves.draw(curves.published_columns(number), caption, curves.x_label((number,)))
