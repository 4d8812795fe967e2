"""How often exploration solved each task, without being asked to: the sparse reward of every task (paper Fig. 16)."""

import pandas as pd

from sensei.analysis.figures import fitting
from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study


class TaskRewards(Figure):
    """As figure `interactions`, one panel per task of the paper's figure."""

    title = "rewards of every task during exploration (paper Fig. 16)"
    published = (16,)
    phases = ("explore",)

    def check(self, study: Study) -> None:
        """That an environment counts the rewards of these tasks."""
        fitting.rewarded(self, study)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel per task."""
        from sensei.analysis.figures import bars

        what = "Sparse rewards of every task during exploration, totals over a run; no method was given them"
        return bars.draw_tasks(study, data, self, what)

    def draw_published(self, number: int) -> Drawing:
        """The paper's bars."""
        from sensei.analysis.figures import bars

        return bars.draw_published(number, "sparse rewards of tasks during exploration")
