"""Interactions during exploration: one panel per kind, one bar per method (paper Figs. 5 and 6)."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.scores import counts, read_scores
from sensei.analysis.scores import interactions as kinds_of_interaction
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
from sensei.study.models.study import Study

Rows = list[tuple[str, pd.DataFrame]]  # (title, numbers) of each row of panels

BAR_INCHES = 0.19
TITLE_INCHES = 0.23  # of a row
PANEL_TITLE_INCHES = 0.14  # a line of it
BELOW_INCHES = 0.29  # tick labels
ACROSS = 6  # panels beside each other
COLUMNS = ["panel", "environment", "source", "steps", "seeds", "metric", "method", "title", "drawn", "seed", "value", "low", "high", "band"]
FIGURES = {"keyroom": 5, "keychest": 5, "robodesk": 6}  # of the paper, by published environment
NONE = 0  # number of no figure


def load(study: Study, results: Path) -> pd.DataFrame:
    """The table of scores below `results` (= results/{study})."""
    return read_scores(Path(results) / "scores.parquet")


def measured(study: Study, scores: pd.DataFrame, environment: str, kinds: dict[str, list[str]]) -> pd.DataFrame:
    """Ours, of one environment, as drawn: a "mean" row with its bootstrap interval and a "seed" row per run, for every kind and method.

    Args:
        kinds: name in the figure -> events that it sums.
    """
    rows = []
    for metric, events in kinds.items():
        for method in study.explore:
            runs = counts(scores, environment, method, events)
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


def published_values(figure: int, environment: str) -> pd.DataFrame:
    """A published figure's bars of `environment` as drawn: mean plus and minus the error; no rows if there are none."""
    bars = published.bars(figure)
    return as_drawn(bars[bars["environment"] == environment])


def as_drawn(bars: pd.DataFrame) -> pd.DataFrame:
    """Published bars in the columns of the drawing."""
    table = bars[["environment", "steps", "seeds", "metric", "method"]].assign(source="published", drawn="mean", value=bars["mean"])
    low, high = (bars["mean"] - bars["error"]).clip(lower=0), bars["mean"] + bars["error"]
    table = table.assign(low=low, high=high, band=bars["error_kind"].str.replace("_", " "))
    return table.assign(title=table["method"].map(published.METHOD_TITLES)).reindex(columns=COLUMNS)


def agree(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether published values may share an axis with ours: the same environment (then `theirs` has rows), and steps within 1 %."""
    return not theirs.empty and bool(np.isclose(ours["steps"].max(), theirs["steps"].max(), rtol=0.01))


def rows_of_panels(study: Study, scores: pd.DataFrame, environment: str, kinds: dict[str, list[str]], figure: int) -> Rows:
    """Rows of one environment: published values beside ours where the steps agree, else in a row of their own."""
    settings = study.settings[environment].environment
    ours, theirs = measured(study, scores, environment, kinds), published_values(figure, published.name_of(settings))
    steps, seeds = style.count(ours["steps"].max()), captions.number(int(ours["seeds"].max()), "seed")
    title = f"{settings.title}: {steps} steps, {seeds}"
    if agree(ours, theirs):
        theirs = theirs[theirs["method"].isin(study.explore)].assign(title=lambda table: table["title"] + ", published")
        return [(f"{title}; hatched: published", pd.concat([ours, theirs]))]
    return [(title, ours), *published_rows(settings.title, theirs)]


def published_rows(title: str, theirs: pd.DataFrame, what: str = "published") -> Rows:
    """The row of published values, if there are any."""
    if theirs.empty:
        return []
    return [(f"{title}, {what}: {style.count(theirs['steps'].max())} steps, {theirs['seeds'].max()} seeds", theirs)]


def _checkpoint_rows() -> Rows:
    early = as_drawn(published.early_checkpoints())
    return published_rows("Robodesk", early, "the authors' runs at an early checkpoint")


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """Bars of the mean over seeds, seeds as points, 95 % bootstrap intervals; published values in a row of their own where steps differ."""
    rows: Rows = []
    for environment in study.environments:
        settings = study.settings[environment].environment
        figure = FIGURES.get(published.name_of(settings), NONE)
        rows += rows_of_panels(study, scores, environment, kinds_of_interaction(settings), figure)
        rows += _checkpoint_rows() if settings.family == "robodesk" else []
    return bars(rows, caption(study, rows, "Interactions during exploration, totals over a run"))


@style.styled()
def draw_published(figure: int = 5) -> Drawing:
    """Figure 5 or 6 of the paper from the published values alone, with the same code as `draw`."""
    names = [name for name, number in FIGURES.items() if number == figure]
    rows = [row for name in names for row in published_rows(published.TITLES[name], published_values(figure, name))]
    text = published_caption(figure, rows, "interactions during exploration")
    if figure == FIGURES["robodesk"]:
        rows += _checkpoint_rows()
        text += " Below: counted in the logs of the authors' own runs at an early checkpoint (exact); nothing is rescaled."
    return bars(rows, text)


def published_caption(figure: int, rows: Rows, what: str) -> str:
    """What a drawing of published values alone is."""
    table = pd.concat([table for _, table in rows])
    return (
        f"Published values (paper Fig. {figure}, read off the figure, about 2 % of the full scale): {what}, "
        f"{captions.number(int(table['steps'].max()), 'step')}, mean over {captions.number(int(table['seeds'].max()), 'seed')}; "
        f"the line is plus and minus one {table['band'].dropna().iloc[0]}."
    )


def caption(study: Study, rows: Rows, what: str) -> str:
    """What a drawing of ours with published values is."""
    table = pd.concat([table for _, table in rows])
    ours = table[table["source"] == "ours"].groupby("environment", sort=False)["steps"].max()
    parts = [f"{study.settings[name].environment.title} ({captions.number(int(steps), 'step')})" for name, steps in ours.items()]
    text = (
        f"{what}: {captions.listing(parts)}, {captions.seeds(study)}. Bars are means, points are seeds; "
        f"{captions.band(captions.most_seeds(study), 'lines')}."
    )
    theirs = table[table["source"] == "published"]
    if not theirs.empty:
        kinds = captions.listing(sorted(set(theirs["band"].dropna())))
        text += (
            f" Hatched: published values (read off the paper's figure, their own steps and seeds in the title) with one {kinds} to either "
            "side, never rescaled; where our steps differ they have a row and axes of their own."
        )
    return text + captions.gates(study, study.explore)


def bars(rows: Rows, text: str) -> Drawing:
    """Rows of panels, laid out in inches, so that the panels of all rows stand below each other."""
    names = {name for _, table in rows for name in table["title"]}
    left = max(style.text_inches(name, "ytick.labelsize") for name in names) + 0.12
    across = min(ACROSS, max(table["metric"].nunique() for _, table in rows))
    width = style.FULL_WIDTH if across > 1 else style.COLUMN_WIDTH
    pitch = (width - left) / across
    lines = [line for title, table in rows for line in _lines(title, table, pitch)]
    height = sum(above + inches + BELOW_INCHES for _, above, inches, _ in lines)
    figure = Figure(figsize=(width, height))
    top = height
    for title, above, inches, panels in lines:
        figure.text(0.05 / width, (top - 0.04) / height, title, va="top", fontsize=8, fontweight="bold")
        top -= above + inches
        for index, (name, table) in enumerate(panels):
            place = (left + index * pitch) / width, top / height, (pitch - 0.15) / width, inches / height
            _panel(figure.add_axes(place), name, table, names=index == 0)
        top -= BELOW_INCHES
    numbers = pd.concat([table.assign(panel=title) for title, table in rows], ignore_index=True)
    return Drawing(figure, numbers, text)


def _lines(title: str, table: pd.DataFrame, pitch: float) -> list[tuple[str, float, float, list[tuple[str, pd.DataFrame]]]]:
    """A row of panels broken into lines of at most `ACROSS`: (title, inches above, inches of panels, (name, numbers) of each)."""
    metrics = list(dict.fromkeys(table["metric"]))
    inches = BAR_INCHES * len(table.drop_duplicates(["source", "method"]))
    lines = []
    for start in range(0, len(metrics), ACROSS):
        part = metrics[start : start + ACROSS]
        names = [style.wrapped(metric.replace("_", " "), pitch - 0.15, "axes.titlesize") for metric in part]
        above = PANEL_TITLE_INCHES * max(name.count("\n") + 1 for name in names) + (TITLE_INCHES if start == 0 else 0.08)
        panels = [(name, table[table["metric"] == metric]) for name, metric in zip(names, part, strict=True)]
        lines.append((title if start == 0 else "", above, inches, panels))
    return lines


def _panel(axes: Axes, name: str, table: pd.DataFrame, names: bool) -> None:
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
    axes.set_title(name)
    style.count_axis(axes.xaxis, 3)
