"""What figures of bars draw with: one panel per kind of event, one bar per method, the runs as points, published values beside ours."""

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import counts, task_rewards
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.envs.contract import TASK_EVENT
from sensei.envs.registry import family
from sensei.study.models.study import Study

Rows = list[tuple[str, pd.DataFrame]]  # (title, numbers) of each row of panels

BAR_INCHES = 0.19
TITLE_INCHES = 0.23  # of a row
PANEL_TITLE_INCHES = 0.14  # a line of it
BELOW_INCHES = 0.29  # tick labels
ACROSS = 6  # panels beside each other
COLUMNS = ["panel", "environment", "source", "steps", "seeds", "metric", "method", "title", "drawn", "seed", "value", "low", "high", "band"]


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


def published_values(figures: tuple[int, ...], environment: str) -> pd.DataFrame:
    """The bars of `environment` in figures of the paper, as drawn: mean plus and minus the error; no rows if there are none."""
    bars = published.bars(*figures)
    return as_drawn(bars[bars["environment"] == environment])


def as_drawn(bars: pd.DataFrame) -> pd.DataFrame:
    """Published bars in the columns of the drawing."""
    table = bars[["environment", "steps", "seeds", "metric", "method"]].assign(source="published", drawn="mean", value=bars["mean"])
    low, high = (bars["mean"] - bars["error"]).clip(lower=0), bars["mean"] + bars["error"]
    table = table.assign(low=low, high=high, band=bars["error_kind"].str.replace("_", " "))
    return table.assign(title=table["method"].map(published.titles())).reindex(columns=COLUMNS)


def agree(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether published values may share an axis with ours: the same environment (then `theirs` has rows), and steps within 1 %."""
    return not theirs.empty and bool(np.isclose(ours["steps"].max(), theirs["steps"].max(), rtol=0.01))


def rows_of_panels(study: Study, scores: pd.DataFrame, environment: str, kinds: dict[str, list[str]], figures: tuple[int, ...]) -> Rows:
    """Rows of one environment: the bars of `figures` beside ours where the steps agree, else in a row of their own."""
    settings = study.settings[environment].environment
    ours = measured(study, scores, environment, kinds)
    theirs = published_values(figures, family(settings).published_name(settings))
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


def checkpoint_rows(environment: str) -> Rows:
    """The row of the authors' own runs at their early checkpoints, if `environment`, by its published name, has any."""
    title = published.titles().get(environment, environment)
    return published_rows(title, as_drawn(published.early_checkpoints(environment)), "the authors' runs at an early checkpoint")


def rows_of_figure(number: int) -> Rows:
    """A row for each environment of the paper's figure `number`."""
    names = published.bars(number)["environment"].unique()
    return [row for name in names for row in published_rows(published.titles()[name], published_values((number,), name))]


def published_caption(number: int, rows: Rows, what: str) -> str:
    """What a drawing of published values alone is."""
    table = pd.concat([table for _, table in rows])
    return (
        f"Published values (paper Fig. {number}, read off the figure, about 2 % of the full scale): {what}, "
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


def draw_tasks(study: Study, scores: pd.DataFrame, figure: Figure, what: str) -> Drawing:
    """Rewards of the tasks that the paper's figures of `figure` show, in its order.

    Raises:
        SenseiError: no environment of the study counts any of them.
    """
    rows: Rows = []
    tasks = published.bars(*figure.published)["metric"].unique()
    for environment in study.environments:
        counted = task_rewards(study.settings[environment].environment)
        if kinds := {task: counted[task] for task in tasks if task in counted}:
            rows += rows_of_panels(study, scores, environment, kinds, figure.published)
    if not rows:
        raise SenseiError(
            f"figure {figure.name} draws rewards of tasks that no environment of the study counts",
            found=", ".join(study.environments),
            expected=f"an environment with {TASK_EVENT}{tasks[0]} among its `events`",
            hint=f"remove {figure.name} from `figures`",
        )
    return draw(rows, caption(study, rows, what))


def draw_published(number: int, what: str) -> Drawing:
    """The bars of the paper's figure `number`."""
    rows = rows_of_figure(number)
    return draw(rows, published_caption(number, rows, what))


def draw(rows: Rows, text: str) -> Drawing:
    """Rows of panels, laid out in inches, so that the panels of all rows stand below each other."""
    names = {name for _, table in rows for name in table["title"]}
    left = max(style.text_inches(name, "ytick.labelsize") for name in names) + 0.12
    across = min(ACROSS, max(table["metric"].nunique() for _, table in rows))
    width = style.FULL_WIDTH if across > 1 else style.COLUMN_WIDTH
    pitch = (width - left) / across
    lines = [line for title, table in rows for line in _lines(title, table, pitch)]
    height = sum(above + inches + BELOW_INCHES for _, above, inches, _ in lines)
    figure = style.figure(width, height, layout=None)
    top = height
    for title, above, inches, panels in lines:
        figure.text(0.05 / width, (top - 0.04) / height, title, va="top", fontweight="bold")
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
    axes.set_xlim(min(0, 1.04 * table["value"].min()), 1.04 * table[["value", "high"]].max(axis=None) or 1)
    style.count_axis(axes.xaxis, 3)
