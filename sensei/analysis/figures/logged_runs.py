"""Every run in the published logs: the authors' at an early checkpoint, the replication's, and RND's."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from sensei.analysis import published
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import interactions
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.envs.registry import family
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from sensei.analysis.figures.bar_panels import Rows

KINDS = {"logged_interactions": "interaction", "logged_task_rewards": "task_success"}
WHATS = {"interaction": "steps at which an object moves", "task_success": "steps at which a task's sparse reward came"}


class LoggedRuns(Figure):
    """Mean and standard deviation as bars, the runs as points; one row for each number of steps."""

    title = "runs in the published logs, one by one"
    published = tuple(KINDS)

    def check(self, study: Study) -> None:
        """That an environment is among the logged ones."""
        here = {family(settings.environment).published_name(settings.environment) for settings in study.settings.values()}
        logged = set(published.logged("interaction")["environment"])
        if not here & logged:
            what = f"figure {self.name}: no environment of the study is in the published logs"
            raise SenseiError(what, expected=", ".join(sorted(logged)), hint=f"remove {self.name} from `figures`")

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """Ours above the logged ones, in environments that these are of."""
        from sensei.analysis.figures import bar_panels, bars

        rows: Rows = []
        for environment in study.environments:
            settings = study.settings[environment].environment
            if logged := _rows("interaction", family(settings).published_name(settings)):
                rows += [*bars.rows_of_panels(study, data, environment, interactions(settings), ())[:1], *logged]
        return bar_panels.draw(rows, bars.caption(study, rows, "Interactions during exploration, totals over a run"))

    def draw_published(self, number: str) -> Drawing:
        """The logged runs."""
        from sensei.analysis.figures import bar_panels

        kind = KINDS[number]
        rows = _rows(kind, "robodesk")
        caption = (
            f"Single runs in the published logs of Robodesk (exact): {WHATS[kind]}, totals over the whole replay. Bars are means, points "
            "runs, the line plus and minus one standard deviation; rows of different numbers of steps are never put on one axis. One run "
            "of the replication with LLaVA's labels is some 7 % shorter than the others."
        )
        return bar_panels.draw(rows, caption)


def _rows(kind: str, environment: str) -> Rows:
    """A row for each number of steps, to the nearest 100,000."""
    from sensei.analysis.figures import bars

    runs = published.logged(kind)
    runs = runs[runs["environment"] == environment]
    rows: Rows = []
    for _, same in runs.groupby(runs.groupby("method")["environment_steps"].transform("max").round(-5)):
        table = bars.as_drawn(published.over_runs(same))
        points = same.assign(source="published", drawn="seed", seed=same["run"], value=same["count"], steps=same["environment_steps"])
        table = table[table["drawn"] == "mean"]
        points = points.merge(table[["method", "title"]].drop_duplicates(), on="method").reindex(columns=bars.COLUMNS)
        rows += bars.published_rows(published.titles()[environment], pd.concat([table, points], ignore_index=True), "logged runs")
    return rows
