"""The panels of figures of bars: rows of panels, one bar per method, the runs as points."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from sensei.analysis import style
from sensei.analysis.figures import captions
from sensei.analysis.style import Drawing

Rows = list[tuple[str, pd.DataFrame]]  # (title, numbers) of each row of panels

BAR_INCHES = 0.19
TITLE_INCHES = 0.23  # of a row
PANEL_TITLE_INCHES = 0.14  # a line of it
BELOW_INCHES = 0.29  # tick labels
ACROSS = 6  # panels beside each other


def draw(rows: Rows, text: str) -> Drawing:
    """Rows of panels, laid out in inches, so that the panels of all rows stand below each other.

    A panel in which nothing happened is left out, and the caption says so; its numbers stay among the numbers.
    """
    numbers = pd.concat([table.assign(panel=title) for title, table in rows], ignore_index=True)
    rows, left_out = _with_something(rows)
    names = {name for _, table in rows for name in table["title"]}
    left = max(style.text_inches(name, "ytick.labelsize") for name in names) + 0.12
    across = min(ACROSS, max(table["metric"].nunique() for _, table in rows))
    width = style.FULL_WIDTH if across > 1 else style.COLUMN_WIDTH
    pitch = (width - left) / across
    lines = [line for title, table in rows for line in _lines(style.wrapped(title, width - 0.1, "axes.titlesize"), table, pitch)]
    height = sum(above + inches + BELOW_INCHES for _, above, inches, _ in lines)
    figure = style.figure(width, height, layout=None)
    top = height
    for title, above, inches, panels in lines:
        figure.text(0.05 / width, (top - 0.04) / height, title, va="top", fontweight="bold", fontsize=style.size("axes.titlesize"))
        top -= above + inches
        for index, (name, table) in enumerate(panels):
            place = (left + index * pitch) / width, top / height, (pitch - 0.15) / width, inches / height
            _panel(figure.add_axes(place), name, table, names=index == 0)
        top -= BELOW_INCHES
    return Drawing(figure, numbers, text + left_out)


def _with_something(rows: Rows) -> tuple[Rows, str]:
    """`rows` without the panels in which every value is zero, and a sentence that names these; all of them if there is no other."""
    kept, empty = [], {}
    for title, table in rows:
        happened = table.groupby("metric")["value"].transform(lambda values: (values != 0).any())
        if happened.any():
            kept.append((title, table[happened]))
        if not happened.all():
            metrics = [metric.replace("_", " ") for metric in dict.fromkeys(table.loc[~happened, "metric"])]
            empty[title.partition(" (")[0]] = captions.listing(metrics)
    if not kept:
        return rows, " Nothing of this happened in any run: every bar is zero."
    told = "; ".join(f"{metrics} ({title})" for title, metrics in empty.items())
    return kept, f" Left out, because it happened in no run: {told}." if told else ""


def _lines(title: str, table: pd.DataFrame, pitch: float) -> list[tuple[str, float, float, list[tuple[str, pd.DataFrame]]]]:
    """A row of panels broken into lines of at most `ACROSS`: (title, inches above, inches of panels, (name, numbers) of each)."""
    metrics = list(dict.fromkeys(table["metric"]))
    inches = BAR_INCHES * len(table.drop_duplicates(["source", "method"]))
    lines = []
    for start in range(0, len(metrics), ACROSS):
        part = metrics[start : start + ACROSS]
        names = [style.wrapped(metric.replace("_", " "), pitch - 0.15, "axes.titlesize") for metric in part]
        above = PANEL_TITLE_INCHES * max(name.count("\n") + 1 for name in names)
        above += TITLE_INCHES + PANEL_TITLE_INCHES * title.count("\n") if start == 0 else 0.08
        panels = [(name, table[table["metric"] == metric]) for name, metric in zip(names, part, strict=True)]
        lines.append((title if start == 0 else "", above, inches, panels))
    return lines


def _panel(axes: Axes, name: str, table: pd.DataFrame, names: bool) -> None:
    """Horizontal bars, so that the names of the methods fit; they stand at the leftmost panel only."""
    place = style.ordered(table["method"]).index
    means = table[table["drawn"] == "mean"].sort_values("method", key=lambda column: column.map(place), kind="stable")
    order, runs = means["title"].tolist(), table[table["drawn"] == "seed"]
    colours = [style.colour(method) for method in means["method"]]
    faces = ["white" if source == "published" else colour for source, colour in zip(means["source"], colours, strict=True)]
    look = {"y": "title", "x": "value", "order": order, "legend": False, "ax": axes}
    lines = {"color": style.INK, "linewidth": 1.2, "zorder": 4, "clip_on": False, "snap": False}  # else short ones vanish
    bars = {"hue": "title", "hue_order": order, "palette": faces, "saturation": 1, "width": 0.72, "err_kws": lines}
    sns.barplot(style.with_interval(means), **style.INTERVAL, **bars, **look)
    for bar, face, colour in zip(axes.patches, faces, colours, strict=True):
        bar.set(edgecolor=colour, linewidth=0.7, hatch="/////" if face == "white" else None)
    if len(runs):
        points = {"size": 2.2, "edgecolor": style.INK, "linewidth": 0.4, "zorder": 5, "clip_on": False}
        beside = {"hue": "seed", "palette": ["white"] * runs["seed"].nunique(), "dodge": True, "jitter": False}
        sns.stripplot(runs, **beside, **points, **look)
    axes.set_yticks(range(len(order)), order if names else [""] * len(order))
    axes.tick_params(axis="y", length=0)
    axes.set(xlabel=None, ylabel=None, title=name, ylim=(len(order) - 0.5, -0.5))
    axes.set_xlim(min(0, 1.04 * table[["value", "low"]].min(axis=None)), 1.04 * table[["value", "high"]].max(axis=None) or 1)
    if axes.get_xlim()[0] < 0:
        axes.axvline(0, color=style.FAINT, linewidth=0.6)
    for row in np.flatnonzero(means["value"] == 0):
        style.zero(axes, 0, row, (8, 0))
    style.count_axis(axes.xaxis, 3)
