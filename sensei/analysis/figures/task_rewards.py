"""How often exploration solved each task, without being asked to: the sparse reward of every task (paper Fig. 16)."""

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.figures import interactions
from sensei.analysis.scores import task_rewards
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.models.study import Study

load = interactions.load
FIGURE = 16
WHAT = "Sparse rewards of every task during exploration, totals over a run; no method was given them"


def shown(figure: int = FIGURE) -> list[str]:
    """The tasks of the published figure, in its order."""
    return list(dict.fromkeys(published.bars(figure)["metric"]))


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """As figure `interactions`, one panel per task.

    Raises:
        SenseiError: no environment of the study counts the rewards of several tasks.
    """
    return draw_tasks(study, scores, FIGURE, WHAT)


def draw_tasks(study: Study, scores: pd.DataFrame, figure: int, what: str) -> Drawing:
    """As `draw`, of the tasks that the published `figure` shows."""
    rows: interactions.Rows = []
    for environment in study.environments:
        counted = task_rewards(study.settings[environment].environment)
        if kinds := {task: counted[task] for task in shown(figure) if task in counted}:
            rows += interactions.rows_of_panels(study, scores, environment, kinds, figure)
    if not rows:
        raise SenseiError(
            "figures task_rewards and open_drawer_light draw rewards of Robodesk's tasks",
            found=", ".join(study.environments),
            expected="robodesk in `environments`",
        )
    return interactions.bars(rows, interactions.caption(study, rows, what))


@style.styled()
def draw_published(figure: int = FIGURE) -> Drawing:
    """Figure 16 or 15 of the paper from the published values alone."""
    rows = interactions.published_rows(published.TITLES["robodesk"], interactions.published_values(figure, "robodesk"))
    return interactions.bars(rows, interactions.published_caption(figure, rows, "sparse rewards of tasks during exploration"))
