"""Score of a task over task steps (paper Figs. 7 and 21): one panel per task, one line per method."""

from itertools import zip_longest
from pathlib import Path

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.scores import read_scores
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
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
PANEL_INCHES = 1.75
LEGEND_INCHES = 0.28
# Moving average over so many evaluations, as in the paper's figures; runs with fewer than ten times as many are not smoothed.
WINDOWS = {7: 3, 13: 30, 21: 3}
# Published curves share a panel with ours if neither range of steps is more than this many times the other.
LARGEST_RATIO = 2.0
X_LABELS = {7: "task steps", 13: "environment steps", 21: "task steps"}
ROBODESK = {7: 21}  # where Robodesk has a figure of its own
ACROSS = 3  # panels beside each other
LINES = {"ours": {"linestyle": "-"}, "published": {"linestyle": (0, (4, 1.5)), "markerfacecolor": "white", "linewidth": 1.0}}


def load(study: Study, results: Path) -> pd.DataFrame:
    """The table of scores below `results` (= results/{study})."""
    return read_scores(Path(results) / "scores.parquet")


def measured(study: Study, scores: pd.DataFrame, environment: str, task: str, methods: list[str], window: int = 1) -> pd.DataFrame:
    """Ours, of one task, as drawn: a "mean" row with its bootstrap interval and a "seed" row per run, for every method and step."""
    chosen = scores[(scores["environment"] == environment) & (scores["task"] == task) & (scores["metric"] == "score")]
    tables = []
    for method in methods:
        runs = chosen[chosen["method"] == method].pivot(index="step", columns="seed", values="value").dropna()
        smoothing = window if len(runs) >= 10 * window else 1
        values = statistics.moving_average(runs.to_numpy().T, smoothing)  # [seeds, steps]
        low, high = statistics.bootstrap_band(values, generator(0, "downstream", environment, task, method))
        same = {"method": method, "title": study.methods[method].title, "seeds": len(values), "smoothing": smoothing}
        means = pd.DataFrame({"step": runs.index, "value": values.mean(axis=0), "low": low, "high": high})
        tables.append(means.assign(drawn="mean", band="95 % bootstrap", **same))
        tables += [
            pd.DataFrame({"step": runs.index, "value": run}).assign(drawn="seed", seed=seed, **same)
            for seed, run in zip(runs.columns, values, strict=True)
        ]
    return pd.concat(tables).assign(environment=environment, source="ours").reindex(columns=COLUMNS)


def published_values(figure: int, task: str) -> pd.DataFrame:
    """The published curves of `task` in figure 7 or 13, as drawn; no rows if there are none."""
    curves = published.curves(figure)
    curves = curves[curves["task"] == task]
    table = curves.rename(columns={"x": "step", "mean": "value"})[["environment", "method", "step", "value", "seeds", "smoothing"]]
    return table.assign(source="published", drawn="mean", title=table["method"].map(published.METHOD_TITLES)).reindex(columns=COLUMNS)


def agree(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether published curves may share a panel with ours: the same task (then `theirs` has rows) and similar ranges of steps."""
    if theirs.empty:
        return False
    ratio = ours["step"].max() / theirs["step"].max()
    return 1 / LARGEST_RATIO <= ratio <= LARGEST_RATIO


@style.styled()
def draw(study: Study, scores: pd.DataFrame) -> Drawing:
    """Mean over seeds as a line, bootstrap band, seeds as thin lines; published curves dashed, in their own panel where steps differ."""
    until = {environment: study.settings[environment].training.learn_steps for environment in study.environments}
    scores = scores[scores["step"] <= 1.01 * scores["environment"].map(until)]  # PPO may have run on
    return draw_methods(study, scores, study.learn, 7)


def draw_methods(study: Study, scores: pd.DataFrame, methods: list[str], figure: int) -> Drawing:
    """As `draw`, of `methods` only, with the published curves of `figure`."""
    columns = []
    for environment, task in ((name, task) for name in study.environments for task in study.settings[name].environment.tasks):
        settings = study.settings[environment].environment
        title = settings.title if settings.family != "robodesk" else f"{settings.title}, {task.replace('_', ' ')}"
        number = ROBODESK.get(figure, figure) if settings.family == "robodesk" else figure
        ours, theirs = measured(study, scores, environment, task, methods, WINDOWS[figure]), published_values(number, task)
        theirs = theirs[theirs["method"].isin(methods)]
        stack = {f"{title}, {captions.number(int(ours['seeds'].max()), 'seed')}": ours}
        if agree(ours, theirs):
            stack = {next(iter(stack)): pd.concat([ours, theirs])}
        elif not theirs.empty:
            stack[f"{title}, published, {theirs['seeds'].max()} seeds"] = theirs
        columns.append(stack)
    return panels(columns, _caption(study, columns, methods, figure), X_LABELS[figure])


@style.styled()
def draw_published(figure: int = 7) -> Drawing:
    """Figure 7 or 21 of the paper from the published values alone, with the same code as `draw`."""
    caption = (
        f"Published values (paper Fig. {figure}, read off the figure, about 0.03): score of one evaluation episode per seed over task "
        "steps, mean over 10 seeds, moving average over 3 evaluations. The width of the published bands was not read."
    )
    if figure == ROBODESK[7]:
        caption += " The curve of SENSEI on upright block off table ends where it had converged."
    return panels(published_columns(figure), caption, X_LABELS[figure])


def published_columns(figure: int) -> list[dict[str, pd.DataFrame]]:
    """A panel for each task of a published figure."""
    columns = []
    for environment, task in published.curves(figure)[["environment", "task"]].drop_duplicates().itertuples(index=False):
        title = published.TITLES[environment] if environment != "robodesk" else task.replace("_", " ")
        columns.append({f"{title}, published, 10 seeds": published_values(figure, task)})
    return columns


def _caption(study: Study, columns: list[dict[str, pd.DataFrame]], methods: list[str], figure: int) -> str:
    table = pd.concat([table for stack in columns for table in stack.values()])
    ours = table[table["source"] == "ours"]
    last = ours.groupby("environment")["step"].max()
    figures = {ROBODESK.get(figure, figure) if study.settings[name].environment.family == "robodesk" else figure for name in last.index}
    parts = []
    for name in study.environments:
        settings = study.settings[name]
        episodes = captions.number(settings.training.evaluate_episodes, "episode")
        parts.append(f"{settings.environment.title} (to {captions.number(int(last[name]), 'step')}, {episodes} per evaluation)")
    smoothing = f"moving average over {WINDOWS[figure]} evaluations" if (ours["smoothing"] > 1).any() else "not smoothed"
    text = (
        f"Score of the task over {X_LABELS[figure]}: {captions.listing(parts)}, {captions.seeds(study)}. "
        f"Lines are means over seeds, thin lines seeds; {captions.band(captions.most_seeds(study), 'bands')}; {smoothing}."
    )
    if explored := [study.methods[name].title for name in methods if study.methods[name].explores]:
        text += f" {captions.listing(explored)} start{'s' if len(explored) == 1 else ''} from the agent of the exploration run."
    if (table["source"] == "published").any():
        text += (
            f" Dashed: published values (paper Fig. {' and '.join(map(str, sorted(figures)))}, 10 seeds, read off the figure), never "
            "rescaled; their bands were not read."
        )
    return text + captions.gates(study, methods)


def panels(columns: list[dict[str, pd.DataFrame]], caption: str, x_label: str) -> Drawing:
    """One column of panels per task, at most `ACROSS` beside each other; a legend above that covers no data."""
    lines = _lines(columns)
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
    handles = _handles([table for stack in columns for table in stack.values()])
    per_row = 3 if width == style.COLUMN_WIDTH else 6
    figure.legend(handles=handles, loc="outside upper center", ncols=min(len(handles), per_row))
    numbers = pd.concat([table.assign(panel=title) for stack in columns for title, table in stack.items()], ignore_index=True)
    return Drawing(figure, numbers, caption)


def _lines(columns: list[dict[str, pd.DataFrame]]) -> list[list[tuple[str, pd.DataFrame] | None]]:
    """Lines of (title, numbers) of panels: what belongs to one task stands below each other, or side by side if there is but one."""
    if len(columns) == 1:
        return [list(columns[0].items())]
    lines = []
    for start in range(0, len(columns), ACROSS):
        stacks = [list(stack.items()) for stack in columns[start : start + ACROSS]]
        lines += [list(line) for line in zip_longest(*stacks)]
    return lines


def _handles(tables: list[pd.DataFrame]) -> list[Line2D]:
    """One legend entry per method, and one that explains the dashes where ours and published curves share a figure."""
    titles = {method: title for table in tables for method, title in zip(table["method"], table["title"], strict=True)}
    handles = [
        Line2D([], [], color=style.colour(method), marker=style.marker(method), label=titles[method]) for method in style.ordered(titles)
    ]
    if {source for table in tables for source in table["source"]} == set(LINES):
        handles.append(Line2D([], [], color=style.FAINT, marker="o", label="published", **LINES["published"]))
    return handles


def _panel(axes: Axes, title: str, table: pd.DataFrame, x_label: str) -> None:
    for (source, method), lines in table.groupby(["source", "method"], sort=False):
        colour = style.colour(method)
        means = lines[lines["drawn"] == "mean"]
        if source == "ours":
            for _, run in lines[lines["drawn"] == "seed"].groupby("seed"):
                axes.plot(run["step"], run["value"], color=colour, linewidth=0.4, alpha=0.5 if means["seeds"].max() < 5 else 0.2)
            axes.fill_between(means["step"], means["low"], means["high"], color=colour, alpha=0.18, linewidth=0)
        every = max(1, len(means) // 8)
        axes.plot(means["step"], means["value"], color=colour, marker=style.marker(method), markevery=every, zorder=3, **LINES[source])
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel("score")
    axes.set_xlim(-0.02 * table["step"].max(), 1.02 * table["step"].max())
    axes.set_ylim(min(-0.03, table["value"].min() * 1.05), max(1.05, table[["value", "high"]].max(axis=None) * 1.05))
    style.count_axis(axes.xaxis, 5)
