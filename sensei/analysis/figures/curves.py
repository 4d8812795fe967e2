"""What figures of curves draw with: one panel per task, one line per method with its band, published curves dashed."""

from itertools import zip_longest

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure as MatplotlibFigure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions, fitting
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import evaluations
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.preferences.agreement import wilson
from sensei.study.models.study import Study

COLUMNS = [
    "panel",
    "environment",
    "task",
    "quantity",
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
SCORE = "score"
BOOTSTRAP, WILSON = statistics.BOOTSTRAP, captions.WILSON
EPISODES = "episodes"  # what the paper counts where it draws something else than a score
PANEL_INCHES = 1.75
LEGEND_INCHES = 0.28
ACROSS = 3  # panels beside each other
LARGEST_RATIO = 2.0  # published curves share a panel with ours if neither range of steps is more than this many times the other
ENDED = 0.97  # of a panel's range of steps: a published curve that is shorter had converged
FEWEST = 10  # evaluations a run, in windows of the moving average; runs with fewer are not smoothed
PUBLISHED_LINE = {"linestyle": (0, (4, 1.5)), "markerfacecolor": "white", "linewidth": 1.0}


def measured(
    study: Study, scores: pd.DataFrame, environment: str, task: str, methods: list[str], window: int = 1, errors: str = BOOTSTRAP
) -> pd.DataFrame:
    """Ours, of one task, as drawn: a "mean" row with its band and a "seed" row per run, for every method and step.

    Args:
        errors: what bands are (`statistics.error_bars`).
    """
    tables = []
    for method in methods:
        runs = evaluations(scores, environment, task, method)
        if runs.empty:
            continue
        smoothing = window if len(runs) >= FEWEST * window else 1
        values = statistics.moving_average(runs.to_numpy().T, smoothing)  # [seeds, steps]
        rng = generator(0, "downstream", environment, task, method)  # by another name: other bands
        episodes = study.settings[environment].training.evaluate_episodes * smoothing
        ends, kinds = widened(*statistics.error_bars(values, errors, rng), values, runs.to_numpy().T, episodes)
        tables += lines(study, method, runs, values, smoothing, ends, kinds)
    if not tables:
        return pd.DataFrame(columns=COLUMNS)
    return pd.concat(tables).assign(environment=environment, task=task, quantity=SCORE, source="ours").reindex(columns=COLUMNS)


def lines(
    study: Study, method: str, runs: pd.DataFrame, values: np.ndarray, smoothing: int, ends: np.ndarray, band: str | list[str]
) -> list[pd.DataFrame]:
    """A method as drawn: the rows of its mean with the band, then those of each seed.

    Args:
        runs: their index is along the horizontal axis, their columns are seeds.
        values: what is drawn of them [seeds, steps], means over windows of `smoothing`.
        ends, band: ends [2, steps] of the band, and its kind, of all or of each step.
    """
    same = {"method": method, "title": study.methods[method].title, "seeds": len(values), "smoothing": smoothing}
    means = pd.DataFrame({"step": runs.index, "value": values.mean(axis=0), "low": ends[0], "high": ends[1]})
    seeds = [
        pd.DataFrame({"step": runs.index, "value": run}).assign(drawn="seed", seed=seed, **same)
        for seed, run in zip(runs.columns, values, strict=True)
    ]
    return [means.assign(drawn="mean", band=band, **same), *seeds]


def widened(band: np.ndarray, kind: str, values: np.ndarray, scores: np.ndarray, episodes: int) -> tuple[np.ndarray, list[str]]:
    """`band` [2, steps], and of what kind it is at each step. Where it has no width (one seed, or seeds that all agree) and scores are
    shares of successful episodes, it is the 95 % Wilson interval of these episodes. 1.00 of two episodes is no certainty.

    Args:
        values: means over windows [seeds, steps]. scores: the evaluations themselves. episodes: behind each of `values`.
    """
    shares = ((scores >= 0) & (scores <= 1)).all() and np.allclose(scores * episodes, np.round(scores * episodes))
    kinds, band = [kind] * values.shape[1], band.copy()
    for step in np.flatnonzero(np.ptp(values, axis=0) == 0) if shares else ():
        count = episodes * len(values)
        band[:, step], kinds[step] = wilson(round(values[0, step] * count), count), WILSON
    return band, kinds


def published_values(figures: tuple[int, ...], environment: str, task: str) -> pd.DataFrame:
    """The curves of a task in figures of the paper, as drawn; no rows if there are none. `environment` by its published name."""
    curves = published.curves(*figures)
    curves = curves[(curves["environment"] == environment) & (curves["task"] == task)]
    table = curves.rename(columns={"x": "step", "mean": "value"})
    quantity = table["task"].str.replace("_", " ").where(table["x_name"] == EPISODES, SCORE)
    return table.assign(
        source="published", drawn="mean", quantity=quantity, band="not read", title=table["method"].map(published.titles())
    ).reindex(columns=COLUMNS)


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
        errors = captions.error_kind(study, environment, figures)
        ours, theirs = measured(study, scores, environment, task, methods, window(figures), errors), published_values(figures, name, task)
        found.append(stacked(title, ours, theirs[theirs["method"].isin(methods)]))
    return [stack for stack in found if stack]


def stacked(title: str, ours: pd.DataFrame, theirs: pd.DataFrame) -> Column:
    """The panels of one task: ours and the published one, or one for both where their ranges of steps are similar."""
    if ours.empty:
        return published_panel(title, theirs)
    name = f"{title}, {_seeds(ours)}"
    if not agree(ours, theirs):
        return {name: ours} | published_panel(title, theirs)
    if ours["smoothing"].max() != theirs["smoothing"].max():
        name += f" (published:{_window(theirs) or ' not smoothed'})"
    longest = ours["step"].max(), theirs["step"].max()
    budgets = "" if abs(longest[0] - longest[1]) <= 0.01 * max(longest) else ", to {} (published to {})".format(*map(style.count, longest))
    return {f"{name}{budgets}": pd.concat([ours, theirs])}


def published_panel(title: str, theirs: pd.DataFrame) -> Column:
    """The panel of published curves, if there are any."""
    return {} if theirs.empty else {f"{title}, published, {_seeds(theirs)}": theirs}


def _seeds(table: pd.DataFrame) -> str:
    """How many seeds the curves of a panel are of, and how they are smoothed, for its title."""
    return captions.number(int(table["seeds"].max()), "seed") + (f",{window}" if (window := _window(table)) else "")


def _window(table: pd.DataFrame) -> str:
    smoothing = int(table["smoothing"].max())
    return f" window {smoothing}" if smoothing > 1 else ""


def published_columns(number: int) -> list[Column]:
    """A panel for each task of the paper's figure `number`."""
    found = []
    for environment, task in published.curves(number)[["environment", "task"]].drop_duplicates().itertuples(index=False):
        title = published.titles()[environment] if environment == task else task.replace("_", " ")
        found.append(published_panel(title, published_values((number,), environment, task)))
    return found


def draw_longer(study: Study, scores: pd.DataFrame, figure: Figure) -> Drawing:
    """The scores of methods that learn for steps of their own, alone, to their last step, where they do."""
    methods = fitting.longer(figure, study)
    where = [name for name in study.environments if study.settings[name].training.own_steps]
    study = study.model_copy(update={"environments": where})
    found = columns(study, scores, methods, figure.published)
    return draw(found, caption(study, found, methods, figure.published), x_label(figure.published))


def caption(study: Study, found: list[Column], methods: list[str], figures: tuple[int, ...]) -> str:
    """What a drawing of ours with published curves is."""
    table = pd.concat([table for stack in found for table in stack.values()])
    ours = table[table["source"] == "ours"]
    last = ours.groupby("environment")["step"].max()
    parts = []
    for name in last.index:
        settings = study.settings[name]
        episodes = captions.number(settings.training.evaluate_episodes, "episode")
        parts.append(f"{settings.environment.title} (to {captions.number(int(last[name]), 'step')}, {episodes} per evaluation)")
    smoothing = f"moving average over {window(figures)} evaluations" if (ours["smoothing"] > 1).any() else "not smoothed"
    alike, agreed = " the 95 % Wilson interval of the episodes of that point, not of seeds", (ours["band"] == WILSON).any()
    bands = captions.band(captions.most_seeds(study), "bands", ours["band"].dropna())
    if agreed:
        one = captions.most_seeds(study) == 1
        bands = f"one seed, so a band is{alike}" if one else f"{bands}; where all runs of a method agree, its band is{alike}"
    text = (
        f"Score of the task over {x_label(figures)}: {captions.listing(parts)}, {captions.seeds(study)}. "
        f"Lines are means over seeds, thin lines seeds; {bands}; {smoothing}."
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
                draw_panel(axes, style.wrapped(panel[0], inches, "axes.titlesize"), panel[1], x_label)
    legend(figure, [table for stack in found for table in stack.values()])
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


def legend(figure: MatplotlibFigure, tables: list[pd.DataFrame]) -> None:
    """One entry per method, and one that explains the dashes where ours and published curves share a figure; above all panels."""
    titles = {method: title for table in tables for method, title in zip(table["method"], table["title"], strict=True)}
    handles = [
        Line2D([], [], color=style.colour(method), marker=style.marker(method), label=titles[method]) for method in style.ordered(titles)
    ]
    if len({source for table in tables for source in table["source"]}) > 1:
        handles.append(Line2D([], [], color=style.FAINT, marker="o", label="published", **PUBLISHED_LINE))
    inches = figure.get_figwidth() - 0.1
    kinds = dict.fromkeys(kind for table in tables for kind in table["band"].dropna())
    handles += [Patch(color=style.FAINT, alpha=0.4, linewidth=0, label=captions.LINES[kind]) for kind in kinds if kind in captions.LINES]
    widest = max(style.text_inches(handle.get_label(), "legend.fontsize") for handle in handles) + 0.45  # its line, and a gap
    figure.legend(handles=handles, loc="outside upper center", ncols=max(1, min(len(handles), int(inches / widest))))


def _continue_dotted(axes: Axes, means: pd.DataFrame) -> None:
    """A published curve that ends before the others of its panel had converged; as in the paper, dots go on at its last value."""
    longest = means["step"].max()
    for last in means.loc[means.groupby("method")["step"].idxmax()].itertuples():
        if last.step < ENDED * longest:
            axes.plot([last.step, longest], [last.value] * 2, color=style.colour(last.method), linestyle=":", linewidth=1, zorder=3)


def draw_panel(axes: Axes, title: str, table: pd.DataFrame, x_label: str) -> None:
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
        if source == "published":
            _continue_dotted(axes, means)
    quantity = table["quantity"].iloc[0]
    axes.set(title=title, xlabel=x_label, ylabel=SCORE if quantity == SCORE else None)  # the title says what else it is
    axes.set_xlim(-0.02 * table["step"].max(), 1.02 * table["step"].max())
    # All start at zero, a score ends at one or above: else small changes would fill the panel.
    highest = max(table[["value", "high"]].max(axis=None), 1)
    axes.set_ylim(min(-0.03 * highest, table[["value", "low"]].min(axis=None) * 1.05), highest * 1.05)
    style.count_axis(axes.xaxis, 5)
