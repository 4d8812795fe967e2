"""What share of the runs scores above each threshold, over all tasks (Agarwal et al. 2021)."""

import numpy as np
import pandas as pd

from sensei.analysis import statistics
from sensei.analysis.comparisons import final_scores, tasks_of
from sensei.analysis.figures.contract import Figure
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
from sensei.study.models.study import Study

THRESHOLDS = 401  # from no score to the highest


class PerformanceProfile(Figure):
    """A curve for each method that learns tasks; the one further up and right is better, whatever score one asks for."""

    title = "share of runs above each score, over all tasks"
    phases = ("learn",)

    def draw(self, study: Study, data: pd.DataFrame) -> Drawing:
        """One panel, final scores of all tasks, each task weighing the same."""
        from sensei.analysis.figures import captions, curves

        tasks, tables = tasks_of(study), []
        highest = max(1.0, data.loc[data["metric"] == "final_score", "value"].max())
        thresholds = np.linspace(0, highest, THRESHOLDS)
        for method in study.learn:
            values = final_scores(study, data, tasks, method)
            if values.shape[1] == 0:
                continue
            low, high = statistics.profile_band(values, thresholds, generator(0, "performance profile", method))
            band = statistics.BOOTSTRAP if values.shape[1] > 1 else statistics.NO_ERROR
            shares = {"step": thresholds, "value": statistics.performance_profile(values, thresholds), "low": low, "high": high}
            same = {"method": method, "title": study.methods[method].title, "seeds": values.shape[1], "band": band}
            tables.append(pd.DataFrame(shares).assign(**same))
        table = pd.concat(tables).assign(source="ours", drawn="mean", quantity="share of runs above").reindex(columns=curves.COLUMNS)
        counted = captions.number(len(tasks), "task")
        steps = data.loc[data["metric"] == "final_score"].groupby("method")["step"].max()
        ends = [f"; {study.methods[name].title} to {captions.number(int(step), 'step')}" for name, step in steps.items()]
        budgets = "" if steps.nunique() == 1 else "".join(ends)
        caption = (
            f"Share of runs whose final score (mean of the last 3 evaluations) is above a threshold: {counted}, each weighing the same, "
            f"{captions.seeds(study)}{budgets}. "
            f"{captions.band(captions.most_seeds(study), 'bands').capitalize()}, runs resampled within tasks."
        )
        name = f"share of runs above it: {counted}, {captions.number(int(table['seeds'].max()), 'seed')}"
        return curves.draw([{name: table}], caption + captions.gates(study, study.learn), "threshold of the final score")
