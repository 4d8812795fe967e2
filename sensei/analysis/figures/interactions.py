"""Interactions during exploration: one panel per event, one bar per method (paper Fig. 5)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.scores import EXPLORE, read_scores
from sensei.analysis.style import Drawing
from sensei.config import Study
from sensei.rng import generator

BAR_INCHES = 0.19
ABOVE_INCHES = 0.40  # title of the row and of its panels
BELOW_INCHES = 0.26  # tick labels
COLUMNS = ["panel", "environment", "source", "steps", "seeds", "metric", "method", "title", "drawn", "seed", "value", "low", "high", "band"]


def load(study: Study, results: Path) -> pd.DataFrame:
    """The table of scores below `results` (= results/{study})."""
    return read_scores(Path(results) / "scores.parquet")


def measured(study: Study, scores: pd.DataFrame, environment: str) -> pd.DataFrame:
    """Ours, of one environment, as drawn: a "mean" row with its bootstrap interval and a "seed" row per run, for every event and method."""
    chosen = scores[(scores["environment"] == environment) & (scores["task"] == EXPLORE)]
    rows = []
    for metric in study.settings[environment].environment.events:
        for method in study.explore:
            runs = chosen[(chosen["metric"] == metric) & (chosen["method"] == method)].sort_values("seed")
            values = runs["value"].to_numpy()
            low, high = statistics.bootstrap_interval(values[None], generator(0, "interactions", environment, metric, method))
            row = {
                "metric": metric,
                "method": method,
                "title": study.methods[method].title,
                "steps": int(runs["step"].max()),
                "seeds": len(runs),
            }
            rows.append({**row, "drawn": "mean", "value": values.mean(), "low": low, "high": high, "band": "95 % bootstrap"})
            rows += [{**row, "drawn": "seed", "seed": seed, "value": value} for seed, value in zip(runs["seed"], values, strict=True)]
    return pd.DataFrame(rows, columns=COLUMNS).assign(environment=environment, source="ours")


def published_values(task: str) -> pd.DataFrame:
    """Figure 5's bars of `task` ("keyroom" or "keychest") as drawn: mean plus and minus the standard error; no rows if there are none."""
    bars = published.bars(5)
    bars = bars[bars["environment"] == task]
    table = bars[["environment", "steps", "seeds", "metric", "method"]].assign(source="published", drawn="mean", value=bars["mean"])
    table = table.assign(low=bars["mean"] - bars["error"], high=bars["mean"] + bars["error"], band="standard error")
    return table.assign(title=table["method"].map(published.METHOD_TITLES)).reindex(columns=COLUMNS)


def agree(study: Study, environment: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether published values may share an axis with ours: the same task (then `theirs` has rows), its metrics and steps within 1 %."""
    return not theirs.empty and bool(np.isclose(ours["steps"].max(), theirs["steps"].max(), rtol=0.01))


def rows_of_panels(study: Study, scores: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """(title, numbers) of each row of panels: published values beside ours where steps and task agree, else in a row of their own."""
    rows = []
    for environment in study.environments:
        settings = study.settings[environment].environment
        ours, theirs = measured(study, scores, environment), published_values(settings.tasks[0])
        steps, seeds = style.count(ours["steps"].max()), captions.number(int(ours["seeds"].max()), "seed")
        title = f"{settings.title}: {steps} steps, {seeds}"
        if agree(study, environment, ours, theirs):
            theirs = theirs[theirs["method"].isin(study.explore)].assign(title=lambda table: table["title"] + ", published")
            rows.append((f"{title}; hatched: published", pd.concat([ours, theirs])))
        else:
            rows.append((title, ours))
            if not theirs.empty:
                rows.append((_published_title(settings.title, theirs), theirs))
    return rows


def _published_title(title: str, theirs: pd.DataFrame) -> str:
    return f"{title}, published: {style.count(theirs['steps'].max())} steps, {theirs['seeds'].max()} seeds"


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """Bars of the mean over seeds, seeds as points, 95 % bootstrap intervals; published values in a row of their own where steps differ."""
    rows = rows_of_panels(study, scores)
    caption = _caption(study, rows)
    return _draw(rows, caption)


@style.styled()
def draw_published() -> Drawing:
    """Figure 5 of the paper from the published values alone, with the same code as `draw`."""
    rows = [(_published_title(title, published_values(task)), published_values(task)) for task, title in published.TASK_TITLES.items()]
    caption = (
        "Published values (paper Fig. 5, read off the figure, about 2 % of the full scale): interactions during 500K exploration steps, "
        "mean over 10 seeds; the line is plus and minus one standard error."
    )
    return _draw(rows, caption)


def _caption(study: Study, rows: list[tuple[str, pd.DataFrame]]) -> str:
    table = pd.concat([table for _, table in rows])
    ours = table[table["source"] == "ours"].groupby("environment")["steps"].max()
    parts = [f"{study.settings[name].environment.title} ({captions.number(int(ours[name]), 'step')})" for name in study.environments]
    seeds = captions.number(len(study.seeds), "seed")
    text = (
        f"Interactions during exploration, totals over a run: {captions.listing(parts)}, {seeds}. Bars are means, points are seeds; "
        f"{captions.band(len(study.seeds), 'lines')}."
    )
    if (table["source"] == "published").any():
        text += (
            " Hatched: published values (paper Fig. 5, 500,000 steps, 10 seeds) with their standard error, never rescaled; "
            "where our steps differ they have a row and axes of their own."
        )
    return text + captions.gates(study, study.explore)


def _draw(rows: list[tuple[str, pd.DataFrame]], caption: str) -> Drawing:
    """Rows of panels, laid out in inches, so that the panels of all rows stand below each other."""
    names = {name for _, table in rows for name in table["title"]}
    left = max(style.text_inches(name, "ytick.labelsize") for name in names) + 0.12
    bars = [BAR_INCHES * len(table.drop_duplicates(["source", "method"])) for _, table in rows]
    height = sum(bars) + len(bars) * (ABOVE_INCHES + BELOW_INCHES)
    figure = Figure(figsize=(style.FULL_WIDTH, height))
    top = height
    for inches, (title, table) in zip(bars, rows, strict=True):
        figure.text(0.05 / style.FULL_WIDTH, (top - 0.04) / height, title, va="top", fontsize=8, fontweight="bold")
        top -= ABOVE_INCHES + inches
        metrics = list(dict.fromkeys(table["metric"]))
        pitch = (style.FULL_WIDTH - left) / len(metrics)
        for index, metric in enumerate(metrics):
            place = (left + index * pitch) / style.FULL_WIDTH, top / height, (pitch - 0.15) / style.FULL_WIDTH, inches / height
            _panel(figure.add_axes(place), table[table["metric"] == metric], names=index == 0)
        top -= BELOW_INCHES
    numbers = pd.concat([table.assign(panel=title) for title, table in rows], ignore_index=True)
    return Drawing(figure, numbers, caption)


def _panel(axes: Axes, table: pd.DataFrame, names: bool) -> None:
    """Horizontal bars, so that the names of the methods fit; they stand at the leftmost panel only."""
    order = style.ordered(table["method"])
    means = (
        table[table["drawn"] == "mean"]
        .sort_values("method", key=lambda column: column.map(order.index), kind="stable")
        .reset_index(drop=True)
    )
    for place, bar in means.iterrows():
        theirs, colour = bar["source"] == "published", style.colour(bar["method"])
        face, hatch = ("white", "/////") if theirs else (colour, None)
        axes.barh(place, bar["value"], height=0.72, color=face, edgecolor=colour, hatch=hatch, linewidth=0.7)
        if not theirs:
            runs = table.loc[(table["drawn"] == "seed") & (table["method"] == bar["method"]), "value"].to_numpy()
            offsets = np.linspace(-0.24, 0.24, len(runs)) if len(runs) > 1 else np.zeros(1)
            axes.plot(
                runs, place + offsets, "o", color="white", markersize=2.2, markeredgecolor=style.INK, markeredgewidth=0.4, clip_on=False
            )
        axes.plot([bar["low"], bar["high"]], [place, place], color=style.INK, linewidth=1.2, zorder=4, clip_on=False)
    axes.set_yticks(range(len(means)), means["title"] if names else [""] * len(means))
    axes.tick_params(axis="y", length=0)
    axes.set_ylim(len(means) - 0.5, -0.5)
    axes.set_xlim(min(0, 1.04 * table["value"].min()), 1.04 * table[["value", "high"]].max(axis=None) or 1)
    axes.set_title(table["metric"].iloc[0].replace("_", " "))
    style.count_axis(axes.xaxis, 4)
