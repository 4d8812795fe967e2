"""How often exploration opened the drawer a little: the sparse reward of open_drawer_light (paper Fig. 15)."""

import pandas as pd

from sensei.analysis.figures import fitting
from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class OpenDrawerLight(Figure):
    """As figure `task_rewards`, of one task."""

    title = "rewards of opening the drawer a little during exploration (paper Fig. 15)"
    published = (15,)
    phases = ("explore",)

    def check(self, study: Study) -> None:
        """That an environment counts the rewards of these tasks."""
        fitting.rewarded(self, study)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel."""
        from sensei.analysis.figures import bars

        return bars.draw_tasks(study, data, self, "Sparse rewards of open_drawer_light during exploration, totals over a run")

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars."""
        from sensei.analysis.figures import bars

        return bars.draw_published(number, "sparse rewards of tasks during exploration")
