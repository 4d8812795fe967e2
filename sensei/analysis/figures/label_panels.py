"""The panels of figure `labels`: shares, order bias, agreement and learning curves of one environment's annotators in a row."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, NullLocator

from sensei.analysis import style

CODE_COLOURS = {"first": "#404040", "second": "#8C8C8C", "tie": "#C4C4C4", "unknown": "#EDEDED"}  # greys: colours are annotators
ROW_HEIGHT = 0.34  # inches of an annotator
PUBLISHED_ROW_HEIGHT = 0.24  # of a published one, which has no table beside it
FRAME = 0.55  # inches of titles and axes of a row of panels
LOWEST = 0.8  # inches of learning curves
MOST_UPRIGHT = 3  # columns whose names fit side by side
LETTERS = 30  # of names side by side below the table
LYING = 0.5  # inches that they take more if they do not
LEARNED = {  # measure of a reward model -> what the legend calls it, and its look
    "held_out_oracle": ("by the oracle", {"linestyle": "-", "marker": "o", "markeredgewidth": 0}),
    "held_out": ("by its own labels", {"linestyle": style.DASHES, "marker": "o", "markerfacecolor": "white", "markeredgewidth": 0.8}),
}
HALF = {"xlim": (0, 1), "xticks": [0, 0.5, 1], "xticklabels": ["0", "0.5", "1"]}

Names = dict[str, str]  # annotator -> what the figure calls it


def draw(numbers: pd.DataFrame, titles: dict[str, str], rows: dict[str, Names]) -> Figure:
    """A row of panels for each of `titles` (environment -> title, the last one published), each annotator of its `rows` a line.

    Args:
        numbers: as `Labels.load` returns them.
    """
    *environments, theirs = titles
    colours = style.colours_of(name for environment in environments for name in rows[environment])
    heights = [max(ROW_HEIGHT * len(rows[name]), LOWEST) + FRAME + LYING * (len(rows[name]) > MOST_UPRIGHT) for name in environments]
    heights.append(PUBLISHED_ROW_HEIGHT * len(rows[theirs]) + FRAME)
    widths = [1.3, 0.9, 1.2, 1.3] if environments else [1.3, 0.9, 0.8]
    figure = style.figure(style.FULL_WIDTH, sum(heights))
    grid = figure.subplots(len(titles), len(widths), squeeze=False, width_ratios=widths, height_ratios=heights)
    for panels, environment in zip(grid, titles, strict=True):
        own, names = numbers[numbers["environment"] == environment], rows[environment]
        _shares(panels[0], own, names)
        panels[0].set_title(titles[environment])
        _bias(panels[1], own, names)
        if environment != theirs:
            if compared(own):
                _agreement(panels[2], own, names)
            else:
                panels[2].axis("off")
            _learning(panels[3], own, {name: colours[name] for name in names})
    shown = {name: title for environment in environments for name, title in rows[environment].items()}
    _legend(grid[-1], {shown[name]: colour for name, colour in colours.items()}, numbers[numbers["environment"] != theirs])
    return figure


def compared(numbers: pd.DataFrame) -> bool:
    """Whether any two annotators have a pair that is clear to both."""
    return bool((numbers.loc[numbers["measure"] == "accuracy", "count"] > 0).any())


def _lines(axes: Axes, names: list[str]) -> None:
    """One line for each of `names`, from the top."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.tick_params(axis="y", length=0)


def _shares(axes: Axes, numbers: pd.DataFrame, names: Names) -> None:
    shares = numbers[numbers["measure"] == "share"]
    place = shares["annotator"].map(list(names).index)
    stacked = {"multiple": "stack", "shrink": 0.62, "discrete": True, "alpha": 1, "linewidth": 0, "legend": False}
    codes = list(CODE_COLOURS)[::-1]  # seaborn stacks from the last
    sns.histplot(shares, y=place, hue="other", hue_order=codes, palette=CODE_COLOURS, weights="value", ax=axes, **stacked)
    _lines(axes, list(names.values()))
    axes.set(xlabel="share of labels", ylabel=None, **HALF)


def _bias(axes: Axes, numbers: pd.DataFrame, names: Names) -> None:
    measured = style.with_interval(numbers[numbers["measure"] == "order_bias"])
    axes.axvline(0.5, color=style.FAINT, linewidth=0.7, linestyle=style.DASHES)
    points = {"linestyle": "none", "color": style.INK, "markersize": 3.5, "err_kws": {"linewidth": 1.3}, "clip_on": False}
    sns.pointplot(measured, x="value", y="annotator", order=list(names), ax=axes, **style.INTERVAL, **points)
    _lines(axes, [""] * len(names))
    axes.set(title="order bias", xlabel="first preferred", ylabel=None, **HALF)


def _agreement(axes: Axes, numbers: pd.DataFrame, names: Names) -> None:
    """A row for each annotator, a column for each that it is compared with: accuracy, kappa and the number of pairs.

    The colour is the lower end of the accuracy's interval: few pairs are pale however well they agree.
    """
    agreed = numbers[numbers["measure"] == "accuracy"].set_index(["annotator", "other"])
    kappa = numbers[numbers["measure"] == "kappa"].set_index(["annotator", "other"])["value"]
    others = [
        name
        for name in dict.fromkeys([*names, *sorted(agreed.index.get_level_values("other"))])
        if name in set(agreed.index.get_level_values("other"))
    ]
    cells = agreed["low"].astype(float).unstack("other").reindex(index=list(names), columns=others)
    sns.heatmap(cells, cmap="Greys", vmin=0.4, vmax=1.6, cbar=False, ax=axes)
    for place, row in agreed.iterrows():
        text = _agreed(row["value"], kappa[place], row["count"])
        at = others.index(place[1]) + 0.5, list(names).index(place[0]) + 0.5
        axes.text(*at, text, ha="center", va="center", fontsize="x-small", color=style.INK)
    widest = max((len(word) for name in others for word in name.split("_")), default=0)
    upright = len(others) <= MOST_UPRIGHT and widest * len(others) <= LETTERS
    axes.set_xticks(
        np.arange(len(others)) + 0.5, [name.replace("_", "\n" if upright else " ") for name in others], rotation=0 if upright else 90
    )
    axes.set_yticks([])
    axes.tick_params(axis="x", length=0)
    axes.set(title="agreement", xlabel=None, ylabel=None)


def _agreed(accuracy: float, kappa: float, count: int) -> str:
    """Accuracy, kappa and clear pairs of two annotators, "none" where they have no clear pair in common."""
    said = "none" if pd.isna(kappa) else f"{round(kappa, 2) + 0.0:.2f}"
    return f"{'none' if pd.isna(accuracy) else f'{accuracy:.3f}'}\n\u03ba {said}\nn {style.count(count)}"


def _learning(axes: Axes, numbers: pd.DataFrame, colours: dict[str, str]) -> None:
    look = {"x": "count", "y": "value", "hue": "annotator", "palette": colours, "ax": axes, "legend": False}
    by_oracle, own = (numbers[numbers["measure"] == measure] for measure in LEARNED)
    before = len(axes.lines)
    sns.lineplot(own, errorbar=None, **LEARNED["held_out"][1], **look)
    for line in axes.lines[before:]:
        line.set_markeredgecolor(line.get_color())
    bars = {"err_style": "bars", "err_kws": {"elinewidth": 0.8}, **LEARNED["held_out_oracle"][1]}
    if len(by_oracle):  # an environment may have no oracle
        sns.lineplot(style.with_interval(by_oracle), **style.INTERVAL, **bars, **look)
    axes.set_xscale("log")
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: style.count(value)))
    lowest = min(0.5, pd.concat([own, by_oracle])["low"].min())  # in this order: a NaN, where no label is clear, is passed over
    axes.set(title="reward model", xlabel="labels learned from", ylabel="accuracy", ylim=(max(lowest - 0.02, 0), 1.02))


def _legend(panels: np.ndarray, colours: dict[str, str], numbers: pd.DataFrame) -> None:
    """What colours and lines mean, in the empty panels beside the published labels: only what is drawn, a line only of several points."""
    codes = [Patch(color=colour, label=code) for code, colour in CODE_COLOURS.items()]
    lines: list[Patch | Line2D] = [Patch(color=colour, label=name) for name, colour in colours.items()]
    for measure, (label, look) in LEARNED.items():
        points = numbers[numbers["measure"] == measure].dropna(subset="value").groupby(["environment", "annotator"])["count"].nunique()
        line = {} if (points > 1).any() else {"linestyle": "none"}
        lines += [Line2D([], [], color=style.FAINT, label=label, **look | line)] * (points.size > 0)
    legends = [(codes, "labels", 2 if colours else 1), (lines, "reward model", 1)]
    for axes, (handles, title, columns) in zip(panels[2:], legends, strict=False):
        axes.axis("off")
        legend = axes.legend(handles=handles, loc="upper left", title=title, alignment="left", ncols=columns, bbox_to_anchor=(0, 1.2))
        legend.set_in_layout(False)
