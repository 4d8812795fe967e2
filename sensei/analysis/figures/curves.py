"""What figures of curves draw with: one panel per task, one line per method with its band, published curves dashed."""

from itertools import zip_longest

import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.models.study import Study

COLUMNS = [
    "panel",
    "environment",
    "source",
    "method",
    "title",
    "drawn",
    "seed",
    "step",
    "value",
    "low",
    "high",
    "band",
    "seeds",
    "smoothing",
]
Column = dict[str, pd.DataFrame]  # panels below each other: title -> numbers
PANEL_INCHES = 1.75
LEGEND_INCHES = 0.28
ACROSS = 3  # panels beside each other
LARGEST_RATIO = 2.0  # published curves share a panel with ours if neither range of steps is more than this many times the other
FEWEST = 10  # evaluations a run, in windows of the moving average; runs with fewer are not smoothed
PUBLISHED_LINE = {"linestyle": (0, (4, 1.5)), "markerfacecolor": "white", "linewidth": 1.0}


def measured(study: Study, scores: pd.DataFrame, environment: str, task: str, methods: list[str], window: int = 1) -> pd.DataFrame:
    """Ours, of one task, as drawn: a "mean" row with its bootstrap interval and a "seed" row per run, for every method and step."""
    chosen = scores[(scores["environment"] == environment) & (scores["task"] == task) & (scores["metric"] == "score")]
    tables = []
    for method in methods:
        runs = chosen[chosen["method"] == method].pivot(index="step", columns="seed", values="value").dropna()
        smoothing = window if len(runs) >= FEWEST * window else 1
        values = statistics.moving_average(runs.to_numpy().T, smoothing)  # [seeds, steps]
        low, high = statistics.bootstrap_band(values, generator(0, "downstream", environment, task, method))  # by another name: other bands
        same = {"method": method, "title": study.methods[method].title, "seeds": len(values), "smoothing": smoothing}
        means = pd.DataFrame({"step": runs.index, "value": values.mean(axis=0), "low": low, "high": high})
        tables.append(means.assign(drawn="mean", band="95 % bootstrap", **same))
        tables += [
            pd.DataFrame({"step": runs.index, "value": run}).assign(drawn="seed", seed=seed, **same)
            for seed, run in zip(runs.columns, values, strict=True)
        ]
    return pd.concat(tables).assign(environment=environment, source="ours").reindex(columns=COLUMNS)


def published_values(figures: tuple[int, ...], environment: str, task: str) -> pd.DataFrame:
    """The curves of a task in figures of the paper, as drawn; no rows if there are none. `environment` by its published name."""
    curves = published.curves(*figures)
    curves = curves[(curves["environment"] == environment) & (curves["task"] == task)]
    table = curves.rename(columns={"x": "step", "mean": "value"})[["environment", "method", "step", "value", "seeds", "smoothing"]]
    return table.assign(source="published", drawn="mean", title=table["method"].map(published.titles())).reindex(columns=COLUMNS)


def x_label(figures: tuple[int, ...]) -> str:
    """What the paper counts along the horizontal axis: task steps."""
    return published.curves(*figures)["x_name"].iloc[0].replace("_", " ")


def window(figures: tuple[int, ...]) -> int:
    """Evaluations that the paper's moving average covers."""
    return int(published.curves(*figures)["smoothing"].max())


def agree(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether published curves may share a panel with ours: the same task (then `theirs` has rows) and similar ranges of steps."""
    if theirs.empty:
        return False
    ratio = ours["step"].max() / theirs["step"].max()
    return 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO


def columns(study: Study, scores: pd.DataFrame, methods: list[str], figures: tuple[int, ...]) -> list[Column]:
    """For each task of the study ours, with the curves of the paper's `figures`: in one panel where ranges of steps are similar."""
    found = []
    for environment, task in ((name, task) for name in study.environments for task in study.settings[name].environment.tasks):
        settings = study.settings[environment].environment
        name = family(settings).published_name(settings)
        title = settings.title if name == task else f"{settings.title}, {task.replace('_', ' ')}"
        ours, theirs = measured(study, scores, environment, task, methods, window(figures)), published_values(figures, name, task)
        theirs = theirs[theirs["method"].isin(methods)]
        stack = {f"{title}, {captions.number(int(ours['seeds'].max()), 'seed')}": ours}
        if agree(ours, theirs):
            stack = {next(iter(stack)): pd.concat([ours, theirs])}
        elif not theirs.empty:
            stack[f"{title}, published, {theirs['seeds'].max()} seeds"] = theirs
        found.append(stack)
    return found


def published_columns(number: int) -> list[Column]:
    """A panel for each task of the paper's figure `number`."""
    found = []
    for environment, task in published.curves(number)[["environment", "task"]].drop_duplicates().itertuples(index=False):
        title = published.titles()[environment] if environment == task else task.replace("_", " ")
        table = published_values((number,), environment, task)
        found.append({f"{title}, published, {table['seeds'].max()} seeds": table})
    return found


def caption(study: Study, found: list[Column], methods: list[str], figures: tuple[int, ...]) -> str:
    """What a drawing of ours with published curves is."""
    table = pd.concat([table for stack in found for table in stack.values()])
    ours = table[table["source"] == "ours"]
    last = ours.groupby("environment")["step"].max()
    parts = []
    for name in study.environments:
        settings = study.settings[name]
        episodes = captions.number(settings.training.evaluate_episodes, "episode")
        parts.append(f"{settings.environment.title} (to {captions.number(int(last[name]), 'step')}, {episodes} per evaluation)")
    smoothing = f"moving average over {window(figures)} evaluations" if (ours["smoothing"] > 1).any() else "not smoothed"
    text = (
        f"Score of the task over {x_label(figures)}: {captions.listing(parts)}, {captions.seeds(study)}. "
        f"Lines are means over seeds, thin lines seeds; {captions.band(captions.most_seeds(study), 'bands')}; {smoothing}."
    )
    if explored := [study.methods[name].title for name in methods if study.methods[name].explores]:
        text += f" {captions.listing(explored)} start{'s' if len(explored) == 1 else ''} from the agent of the exploration run."
    theirs = table[table["source"] == "published"]
    if not theirs.empty:
        curves = published.curves(*figures)
        numbers = curves.loc[curves["environment"].isin(theirs["environment"]), "number"].unique()
        text += (
            f" Dashed: published values (paper Fig. {' and '.join(map(str, sorted(numbers)))}, {theirs['seeds'].max()} seeds, "
            "read off the figure), never rescaled; their bands were not read."
        )
    return text + captions.gates(study, methods)


def draw(found: list[Column], caption: str, x_label: str) -> Drawing:
    """One column of panels per task, at most `ACROSS` beside each other; a legend above that covers no data."""
    lines = _lines(found)
    across = max(map(len, lines))
    width = style.COLUMN_WIDTH if across == len(lines) == 1 else style.FULL_WIDTH
    inches = width / across - 0.55  # of a title
    figure = style.figure(width, PANEL_INCHES * len(lines) + LEGEND_INCHES)
    for panel_row, line in zip(figure.subplots(len(lines), across, squeeze=False), lines, strict=True):
        for axes, panel in zip(panel_row, line + [None] * (across - len(line)), strict=True):
            if panel is None:
                axes.set_axis_off()
            else:
                _panel(axes, style.wrapped(panel[0], inches, "axes.titlesize"), panel[1], x_label)
    handles = _handles([table for stack in found for table in stack.values()])
    per_row = 3 if width == style.COLUMN_WIDTH else 6
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), per_row))
    numbers = pd.concat([table.assign(panel=title) for stack in found for title, table in stack.items()], ignore_index=True)
    return Drawing(figure, numbers, caption)


def _lines(found: list[Column]) -> list[list[tuple[str, pd.DataFrame] | None]]:
    """Lines of (title, numbers) of panels: what belongs to one task stands below each other, or side by side if there is but one."""
    if len(found) == 1:
        return [list(found[0].items())]
    lines = []
    for start in range(0, len(found), ACROSS):
        stacks = [list(stack.items()) for stack in found[start : start + ACROSS]]
        lines += [list(line) for line in zip_longest(*stacks)]
    return lines


def _handles(tables: list[pd.DataFrame]) -> list[Line2D]:
    """One legend entry per method, and one that explains the dashes where ours and published curves share a figure."""
    titles = {method: title for table in tables for method, title in zip(table["method"], table["title"], strict=True)}
    handles = [
        Line2D([], [], color=style.colour(method), marker=style.marker(method), label=titles[method]) for method in style.ordered(titles)
    ]
    if len({source for table in tables for source in table["source"]}) > 1:
        handles.append(Line2D([], [], color=style.FAINT, marker="o", label="published", **PUBLISHED_LINE))
    return handles


def _panel(axes: Axes, title: str, table: pd.DataFrame, x_label: str) -> None:
    methods = list(dict.fromkeys(table["method"]))
    look = {"x": "step", "y": "value", "hue": "method", "hue_order": methods, "ax": axes, "legend": False}
    look["palette"] = {method: style.colour(method) for method in methods}
    runs = table[table["drawn"] == "seed"]
    if len(runs):
        faint = {"linewidth": 0.4, "alpha": 0.5 if runs["seeds"].max() < 5 else 0.2}
        sns.lineplot(runs, units="seed", estimator=None, **faint, **look)
    marked = {"style": "method", "style_order": methods, "markers": {method: style.marker(method) for method in methods}, "dashes": False}
    band = {"alpha": 0.18, "linewidth": 0}
    for source, means in table[table["drawn"] == "mean"].groupby("source", sort=False):
        before = len(axes.lines)
        line = PUBLISHED_LINE if source == "published" else {}
        sns.lineplot(style.with_interval(means), zorder=3, err_kws=band, **style.INTERVAL, **line, **marked, **look)
        for drawn in axes.lines[before:]:
            drawn.set(markeredgecolor=drawn.get_color(), markeredgewidth=1.0, markevery=max(1, len(drawn.get_xdata()) // 8))
    axes.set(title=title, xlabel=x_label, ylabel="score")
    axes.set_xlim(-0.02 * table["step"].max(), 1.02 * table["step"].max())
    axes.set_ylim(min(-0.03, table["value"].min() * 1.05), max(1.05, table[["value", "high"]].max(axis=None) * 1.05))
    style.count_axis(axes.xaxis, 5)
