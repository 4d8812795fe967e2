"""What figures of a run's episodes show: quantities over episodes, how often each value came up, what was ever reached.

An environment offers them as events whose sum over an episode is the quantity (the paper's Pokémon Red: `map_segments_per_episode`,
`highest_level`, `segment_3_reached`, `caught_pidgey`); the figures find them by the names that the published values have. The return per
step is the mean of `potential`, the reward accumulated so far, over the steps of an episode.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics
from sensei.analysis.cards import read_table
from sensei.analysis.figures.fitting import not_counted
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import Run, explored_run, missing_runs, present
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.study.layout import Layout, RunFiles
from sensei.study.models.study import Study

if TYPE_CHECKING:
    from sensei.analysis.figures.curves import Column

PERCENT_OF_SEEDS = "% of seeds"
PERCENT_OF_EPISODES = "% of episodes"


class EpisodeFigure:
    """What these figures have in common, to be inherited beside `Figure`.

    Attributes:
        mark: an event; environments that count it have all that the figure shows.
    """

    mark: ClassVar[str]

    def concerns(self, study: Study) -> bool:
        """Whether an environment of the study counts what it shows."""
        return bool(counting(self.mark, study))

    def check(self, study: Study) -> None:
        """That one does."""
        if not self.concerns(study):
            raise not_counted(self, study, self.mark)

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """The events of every exploration run there."""
        counted = counting(self.mark, study)
        return {"events": [explored_run(study, layout, *run).events for run in present(study, layout)[0] if run[0] in counted]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """The finished episodes of all runs in their order: columns environment, method, seed, number (from 1), and the run's own.

        Raises:
            SenseiError: a table is missing or damaged, named; or there is none.
        """
        tables = []
        for path in inputs["events"]:
            environment, method, seed = RunFiles(path.parent).explored
            table = read_table(path, "explore").query("finished").sort_values("last_step", kind="stable")
            if "potential" in table:
                table["return_per_step"] = table["potential"] / table["length"]
            tables.append(table.assign(environment=environment, method=method, seed=seed, number=np.arange(1, len(table) + 1)))
        if not tables:
            raise SenseiError(f"figure {self.name}: no run that it draws is there", hint="run the stage `explore` first")
        return pd.concat(tables, ignore_index=True)

    def missing(self, study: Study, data: pd.DataFrame) -> list[Run]:
        """The exploration runs there that have no finished episode."""
        counted = counting(self.mark, study)
        lacking = missing_runs(study, data[["environment", "method", "seed"]], ("explore",))
        return [run for run in lacking if run.environment in counted]


def counting(event: str, study: Study) -> list[str]:
    """Environments of the study that count `event`."""
    return [name for name in study.environments if event in study.settings[name].environment.events]


def over_episodes(study: Study, episodes: pd.DataFrame, environment: str, metric: str, window: int) -> pd.DataFrame:
    """A quantity over episodes as `curves` draws it: for every method the mean with its band and a line a seed, up to the last episode
    that all seeds finished."""
    from sensei.analysis.figures import captions, curves

    tables, errors = [], captions.error_kind(study, environment)
    for method in study.explore:
        own = episodes[(episodes["environment"] == environment) & (episodes["method"] == method)]
        runs = own.pivot(index="number", columns="seed", values=metric).dropna()
        if runs.empty:
            continue
        values = statistics.moving_average(runs.to_numpy(float).T, window)
        ends, band = statistics.error_bars(values, errors, generator(0, "episodes", environment, metric, method))
        tables += curves.lines(study, method, runs, values, window, ends, band)
    quantity = metric.replace("_", " ")
    table = pd.concat(tables).assign(environment=environment, task=metric, quantity=quantity, source="ours")
    return table.reindex(columns=curves.COLUMNS)


def columns(study: Study, episodes: pd.DataFrame, figure: int) -> list[Column]:
    """A panel for each quantity of the paper's curves in `figure`, in each environment: ours, and the published one below it."""
    from sensei.analysis.figures import curves

    known, found = published.curves(figure), []
    for environment in episodes["environment"].unique():
        for task, table in known.groupby("task", sort=False):
            ours = over_episodes(study, episodes, environment, task, int(table["smoothing"].max()))
            theirs = curves.published_values((figure,), table["environment"].iloc[0], task)
            title = task.replace("_", " ")
            found.append(curves.stacked(title, ours, theirs[theirs["method"].isin(study.explore)]))
    return found


def shares(study: Study, episodes: pd.DataFrame, environment: str, kinds: dict[str, pd.Series], panel: str, quantity: str) -> pd.DataFrame:
    """In what share of the seeds, or of the episodes of a seed, something holds, in the columns of `distributions`.

    Args:
        kinds: what the figure calls it -> whether it holds, one entry for each of `episodes`.
        quantity: PERCENT_OF_SEEDS (it held in at least one episode) or PERCENT_OF_EPISODES (mean over seeds, with its interval).
    """
    from sensei.analysis.figures import captions, distributions

    rows, errors = [], captions.error_kind(study, environment)
    for metric, holds in kinds.items():
        for method in study.explore:
            own = (episodes["environment"] == environment) & (episodes["method"] == method)
            by_seed = holds[own].groupby(episodes.loc[own, "seed"])
            if by_seed.ngroups == 0:
                continue
            row = {"metric": metric, "method": method, "title": study.methods[method].title, "seeds": by_seed.ngroups, "band": "none"}
            if quantity == PERCENT_OF_SEEDS:
                row["value"] = 100 * by_seed.any().mean()
            else:
                values = 100 * by_seed.mean().to_numpy()
                rng = generator(0, "episodes", environment, metric, method)
                ((low,), (high,)), row["band"] = statistics.error_bars(values[:, None], errors, rng)
                row |= {"value": values.mean(), "low": low, "high": high}
            rows.append(row)
    table = pd.DataFrame(rows).assign(environment=environment, panel=panel, quantity=quantity, source="ours")
    return table.reindex(columns=distributions.COLUMNS)
