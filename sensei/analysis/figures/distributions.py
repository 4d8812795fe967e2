"""What figures of shares draw with: groups of bars, one group for each value or thing, one bar for each method."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.patches import Patch

from sensei.analysis import published, style
from sensei.analysis.figures import captions

COLUMNS = ["panel", "environment", "source", "quantity", "metric", "method", "title", "value", "low", "high", "band", "seeds", "steps"]
BAR_INCHES = 0.11  # of a bar that lies


def published_shares(number: int, panel: str, title: str) -> pd.DataFrame:
    """Panel `panel` of the paper's figure `number`, under `title`; what the quantity is, is what the notes beside the values say."""
    bars = published.bars(number)
    bars = bars[bars["panel"] == panel]
    quantity = bars["note"].str.partition(";")[0].str.replace("percent", "%")
    table = bars.assign(
        source="published", panel=title, quantity=quantity, value=bars["mean"], title=bars["method"].map(published.titles())
    )
    table = table.assign(low=bars["mean"] - bars["error"], high=bars["mean"] + bars["error"], band=bars["error_kind"].str.replace("_", " "))
    return table.reindex(columns=COLUMNS)


def names_of(metrics: pd.Series, words: tuple[str, ...]) -> list[str]:
    """What the axis calls metrics: without the words that all of them have in common."""
    names = list(dict.fromkeys(metrics))
    short = [" ".join(part for part in name.split("_") if part not in words) for name in names]
    numbers = all(part.isdigit() for name in short for part in name.split())
    return [name.replace(" ", "–") if numbers else name for name in short]


def draw_panel(
    axes: Axes, title: str, table: pd.DataFrame, words: tuple[str, ...] = (), lying: bool = False, logarithmic: bool = False
) -> None:
    """One group of bars a metric.

    Args:
        words: parts of the metrics' names that the axis leaves out.
        lying: whether the bars lie, as beside the paper's map.
        logarithmic: whether the shares are on a logarithmic axis, on which a zero is only a mark.
    """
    metrics, methods = list(dict.fromkeys(table["metric"])), style.ordered(table["method"])
    names = names_of(table["metric"], words)
    across, along = ("value", "metric") if lying else ("metric", "value")
    look = {"order": metrics, "hue": "method", "hue_order": methods, "palette": {name: style.colour(name) for name in methods}}
    lines = {"color": style.INK, "linewidth": 0.8, "zorder": 4, "snap": False}
    floor = min(table["value"][table["value"] > 0].min() / 2, 1) if logarithmic else 0
    drawn = table.assign(low=table["low"].clip(lower=floor)) if logarithmic else table  # else it has no place on the axis
    sns.barplot(style.with_interval(drawn), x=across, y=along, **look, **style.INTERVAL, err_kws=lines, saturation=1, legend=False, ax=axes)
    ticks = np.arange(len(names))
    if lying:
        axes.set_yticks(ticks, names)
        axes.set_xlim(0, 105)
    else:
        upright = (
            sum(style.text_inches(name, "xtick.labelsize") + 0.08 for name in names)
            < axes.get_position().width * axes.figure.get_figwidth()
        )
        axes.set_xticks(ticks, names, rotation=0 if upright else 90)
        axes.set_ylim((floor, 150) if logarithmic else (0, None))
    if logarithmic:
        axes.set_yscale("log")
    _bars(axes, table, metrics, methods, lying, floor)
    quantity = table["quantity"].iloc[0]
    axes.set(title=title, xlabel=quantity if lying else None, ylabel=None if lying else quantity)


def _bars(axes: Axes, table: pd.DataFrame, metrics: list[str], methods: list[str], lying: bool, floor: float) -> None:
    """The look of the bars, and a mark for each that is zero; `floor`: where they begin."""
    values = table.set_index(["method", "metric"])["value"]
    for method, bars in zip(methods, axes.containers, strict=False):
        for bar, metric in zip(bars, metrics, strict=False):
            bar.set(edgecolor=style.colour(method), linewidth=0.5)
            if table["source"].iloc[0] == "published":
                bar.set(facecolor="white", hatch="//////")
            if values.get((method, metric)) == 0:
                middle = (bar.get_y() + bar.get_height() / 2) if lying else (bar.get_x() + bar.get_width() / 2)
                style.zero(axes, *((floor, middle) if lying else (middle, floor)), (5, 0) if lying else (0, 4))


def legend(figure: MatplotlibFigure, tables: list[pd.DataFrame]) -> None:
    """One entry a method, above all panels."""
    titles = {row.method: row.title for table in tables for row in table.itertuples()}
    handles = [Patch(facecolor="white", edgecolor=style.colour(name), hatch="//////", label=titles[name]) for name in style.ordered(titles)]
    if all((table["source"] == "ours").all() for table in tables):
        handles = [Patch(color=style.colour(name), label=titles[name]) for name in style.ordered(titles)]
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))


def errors(table: pd.DataFrame) -> str:
    """What the lines on the bars are, as a sentence."""
    kinds = sorted(set(table["band"].dropna()) - {"none"})
    return f" Lines: {captions.listing([captions.WORDS[kind] for kind in kinds])}." if kinds else " No error bars: shares of all seeds."
