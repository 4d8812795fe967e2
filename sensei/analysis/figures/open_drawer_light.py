"""How often exploration opened the drawer a little: the sparse reward of open_drawer_light (paper Fig. 15)."""

import pandas as pd

from sensei.analysis import style
from sensei.analysis.figures import task_rewards
from sensei.analysis.style import Drawing
from sensei.study.models.study import Study

load = task_rewards.load
FIGURE = 15


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """As figure `task_rewards`, of one task."""
    return task_rewards.draw_tasks(study, scores, FIGURE, "Sparse rewards of open_drawer_light during exploration, totals over a run")


def draw_published(figure: int = FIGURE) -> Drawing:
    """Figure 15 of the paper from the published values alone."""
    return task_rewards.draw_published(figure)
