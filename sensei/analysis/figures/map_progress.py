"""How far runs come on the map of Pokemon Red (paper Figs. 8, 24 and 27)."""

from typing import Any

import numpy as np
import pandas as pd

from sensei.analysis import statistics, style
from sensei.analysis.cards import read_table
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.inputs import Inputs
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.study.layout import Layout
from sensei.study.models.study import Study

MARK = "max_map_segment"  # an environment whose events have it has a map
SEGMENTS = [f"segment_{number}_reached" for number in range(10)]
# What an episode comes to, as published tables call it -> the panel's title.
CURVES = {
    "map_segments_per_episode": "segments an episode",
    "max_map_segment": "highest segment",
    "highest_level": "highest level",
    "max_party_size": "largest party",
    "return_per_step": "return per step",
    "gym_badges": "badges",
}
WINDOW = 5  # episodes
FEWEST = 10  # episodes, in windows; curves with fewer are not smoothed
COLUMNS = ["environment", "method", "title", "metric", "x_name", "x", "mean", "low", "high", "seeds", "smoothing"]


class MapProgress(Figure):
    """Share of runs and of episodes that reach each segment, and what episodes come to one after the other."""

    title = "progress on the map (paper Figs. 8 and 24)"

    def concerns(self, study: Study) -> bool:
        """Whether an environment has a map."""
        return bool(_with_map(study))

    def inputs(self, study: Study, layout: Layout) -> dict[str, Any]:
        """The episodes of every exploration run there."""
        return {"events": [layout.explore(*run).events for run in _runs(study)]}

    def load(self, study: Study, inputs: Inputs) -> pd.DataFrame:
        """One row an episode that has ended: environment, method, seed, episode and what it came to."""
        tables = []
        for (environment, method, seed), path in zip(_runs(study), inputs["events"], strict=True):
            table = read_table(path, "explore")
            table = table[table["finished"]].sort_values("last_step").assign(environment=environment, method=method, seed=seed)
            if "potential" in table:
                table["return_per_step"] = table["potential"] / table["length"]
            tables.append(table.assign(episode=np.arange(len(table))))
        return pd.concat(tables, ignore_index=True) if tables else pd.DataFrame()

    def draw(self, study: Study, data: pd.DataFrame) -> style.Drawing:
        """A row of panels for each environment with a map."""
        if not self.concerns(study):
            expected = f"one that counts {MARK}, such as pokemon_red"
            raise SenseiError("map_progress: no environment of the study has a map", found=", ".join(study.environments), expected=expected)
        numbers = pd.concat([_numbers(study, data, environment) for environment in _with_map(study)], ignore_index=True)
        return style.Drawing(_drawn(study, numbers), numbers, _caption(study, data))


def _with_map(study: Study) -> list[str]:
    return [name for name in study.environments if MARK in study.settings[name].environment.events]


def _runs(study: Study) -> list[tuple[str, str, int]]:
    maps = _with_map(study)
    return [run for run in study.exploration_runs() if run[0] in maps]


def _numbers(study: Study, data: pd.DataFrame, environment: str) -> pd.DataFrame:
    """What is drawn of one environment: shares of runs and of episodes in percent, and the curves."""
    tables = []
    for method in style.ordered(study.explore):
        runs = data[(data["environment"] == environment) & (data["method"] == method)]
        same = {"environment": environment, "method": method, "title": study.methods[method].title, "seeds": runs["seed"].nunique()}
        per_run = runs.groupby("seed")[[name for name in SEGMENTS if name in runs]]
        reached = {"runs": per_run.max() > 0, "episodes": per_run.agg(lambda counts: (counts > 0).mean())}
        for kind, table in reached.items():
            shares = 100 * table.to_numpy(float).T  # [segments, seeds]
            low, high = statistics.bootstrap_band(shares.T, generator(0, "map_progress", environment, method, kind))
            tables.append(pd.DataFrame({"metric": table.columns, "mean": shares.mean(1), "low": low, "high": high, "x_name": kind, **same}))
        for metric in (name for name in CURVES if name in runs):
            curves = runs.pivot(index="episode", columns="seed", values=metric).dropna()
            window = WINDOW if len(curves) >= FEWEST * WINDOW else 1
            values = statistics.moving_average(curves.to_numpy(float).T, window)  # [seeds, episodes]
            low, high = statistics.bootstrap_band(values, generator(0, "map_progress", environment, method, metric))
            shown = {"metric": metric, "x_name": "episode", "x": curves.index, "mean": values.mean(0), "low": low, "high": high}
            tables.append(pd.DataFrame({**shown, "smoothing": window, **same}))
    return pd.concat(tables).reindex(columns=COLUMNS)


def _drawn(study: Study, numbers: pd.DataFrame) -> Any:
    from matplotlib.lines import Line2D

    maps = _with_map(study)
    shown = [name for name in CURVES if name in set(numbers["metric"])]
    figure = style.figure(style.FULL_WIDTH, 3.6 * len(maps) + 0.3)
    grid = figure.add_gridspec(2 * len(maps), 1 + -(-len(shown) // 2))
    for row, environment in enumerate(maps):
        table = numbers[numbers["environment"] == environment]
        _bars(figure.add_subplot(grid[2 * row : 2 * row + 2, 0]), table[table["x_name"] != "episode"])
        for place, metric in enumerate(shown):
            across, down = place // 2, place % 2
            axes = figure.add_subplot(grid[2 * row + down, 1 + across])
            _curve(axes, table[table["metric"] == metric], CURVES[metric])
    titles = dict(zip(numbers["method"], numbers["title"], strict=True))
    handles = [Line2D([], [], color=style.colour(name), label=title) for name, title in titles.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), 4))
    return figure


def _bars(axes: Any, table: pd.DataFrame) -> None:
    """Share of the runs that ever reach a segment as bars, of the episodes as dots."""
    methods, segments = list(dict.fromkeys(table["method"])), list(dict.fromkeys(table["metric"]))
    thick = 0.8 / len(methods)
    for place, method in enumerate(methods):
        at = np.arange(len(segments)) - 0.4 + (place + 0.5) * thick
        means = {kind: table[(table["method"] == method) & (table["x_name"] == kind)]["mean"] for kind in ("runs", "episodes")}
        axes.barh(at, means["runs"], thick, color=style.colour(method), alpha=0.55)
        axes.plot(means["episodes"], at, "o", color=style.colour(method), markersize=2.5, markeredgecolor=style.INK, markeredgewidth=0.3)
    axes.set(yticks=range(len(segments)), yticklabels=range(len(segments)), xlim=(0, 104), xlabel="%", ylabel="segment", title="reached")


def _curve(axes: Any, table: pd.DataFrame, title: str) -> None:
    from matplotlib.ticker import MaxNLocator

    for method, means in table.groupby("method", sort=False):
        axes.plot(means["x"], means["mean"], color=style.colour(method), linewidth=1.0)
        axes.fill_between(means["x"], means["low"], means["high"], color=style.colour(method), alpha=0.18, linewidth=0)
    low, high = min(0.0, table["mean"].min()), max(1.0, table[["mean", "high"]].max(axis=None))
    axes.set(title=title, xlabel="episode", ylim=(low, 1.08 * high))
    axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _caption(study: Study, data: pd.DataFrame) -> str:
    maps = _with_map(study)
    episodes = data.groupby(["environment", "method", "seed"]).size()
    text = (
        f"Exploration of {captions.listing([study.settings[name].environment.title for name in maps])}, {captions.seeds(study)}, "
        f"{episodes.min():,} to {episodes.max():,} finished episodes a run. Left: share of runs that ever reach each segment of the road "
        "to the first badge (bars), and of their episodes (dots). Right: what an episode comes to, over episodes, as far as all runs of a "
        f"method have them; moving average over {WINDOW} episodes where there are {FEWEST * WINDOW} or more; "
        f"{captions.band(captions.most_seeds(study), 'bands')}. The return per step is the mean accumulated reward over an episode's steps."
    )
    return text + captions.gates(study, study.explore)
