"""What figures of bars show: one panel per kind of event, one bar per method, the runs as points, published values beside ours."""

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics, style
from sensei.analysis.figures import bar_panels, captions, fitting
from sensei.analysis.figures.bar_panels import Rows
from sensei.analysis.figures.contract import Figure
from sensei.analysis.scores import counts
from sensei.analysis.style import Drawing
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.models.study import Study

COLUMNS = ["panel", "environment", "source", "steps", "seeds", "metric", "method", "title", "drawn", "seed", "value", "low", "high", "band"]
SAME_STEPS = 0.01  # of each other


def measured(
    study: Study, scores: pd.DataFrame, environment: str, kinds: dict[str, list[str]], errors: str = statistics.BOOTSTRAP
) -> pd.DataFrame:
    """Ours, of one environment, as drawn: a "mean" row with its error bar and a "seed" row per run, for every kind and method.

    A method without a run there has no row. Where methods made different numbers of steps, each title says how many.

    Args:
        kinds: name in the figure -> events that it sums.
        errors: what error bars are (`statistics.error_bars`).
    """
    rows = []
    for metric, events in kinds.items():
        for method in study.explore:
            runs = counts(scores, environment, method, events)
            if runs.empty:
                continue
            values = runs["value"].to_numpy()
            ends, band = statistics.error_bars(values[:, None], errors, generator(0, "interactions", environment, metric, method))
            (low,), (high,) = ends
            row = {
                "metric": metric,
                "method": method,
                "title": study.methods[method].title,
                "steps": int(runs["step"].max()),
                "seeds": len(runs),
            }
            rows.append({**row, "drawn": "mean", "value": values.mean(), "low": low, "high": high, "band": band})
            rows += [{**row, "drawn": "seed", "seed": seed, "value": value} for seed, value in zip(runs["seed"], values, strict=True)]
    return _with_steps(pd.DataFrame(rows, columns=COLUMNS).assign(environment=environment, source="ours"))


def _with_steps(table: pd.DataFrame) -> pd.DataFrame:
    """`table` with the number of steps behind each title, unless it is the same for all."""
    if table.empty or same_steps(table, table):
        return table
    return table.assign(title=table["title"] + ", " + table["steps"].map(style.count) + " steps")


def published_values(figures: tuple[int, ...], environment: str) -> pd.DataFrame:
    """The bars of `environment` in figures of the paper, as drawn: mean plus and minus the error; no rows if there are none.

    Of a bar that several of the figures show, the first one's. Where the published logs have the runs behind a bar, a "seed" row each.
    """
    bars = published.bars(*figures)
    return as_drawn(bars[bars["environment"] == environment].drop_duplicates(["metric", "method"]))


def as_drawn(bars: pd.DataFrame) -> pd.DataFrame:
    """Published bars in the columns of the drawing, and behind them the runs that the logs have of them."""
    table = bars[["environment", "steps", "seeds", "metric", "method"]].assign(source="published", drawn="mean", value=bars["mean"])
    table = table.assign(low=bars["mean"] - bars["error"], high=bars["mean"] + bars["error"], band=bars["error_kind"].str.replace("_", " "))
    runs = pd.concat([published.logged("interaction"), published.logged("task_success")])
    found = table.drop(columns=["value", "low", "high", "band"]).merge(runs, on=["environment", "metric", "method"])
    found = found[np.isclose(found["steps"], found["environment_steps"], rtol=SAME_STEPS)]
    table = pd.concat([table, found.assign(drawn="seed", seed=found["run"], value=found["count"])], ignore_index=True)
    return _with_steps(table.assign(title=table["method"].map(published.titles())).reindex(columns=COLUMNS))


def same_steps(ours: pd.DataFrame, theirs: pd.DataFrame) -> bool:
    """Whether all bars of both tables are of the same number of steps, to within 1 %."""
    both = ours["steps"].min(), ours["steps"].max(), theirs["steps"].min(), theirs["steps"].max()
    return bool(np.isclose(min(both), max(both), rtol=SAME_STEPS))


def rows_of_panels(study: Study, scores: pd.DataFrame, environment: str, kinds: dict[str, list[str]], figures: tuple[int, ...]) -> Rows:
    """Rows of one environment: the bars of `figures` beside ours where the steps agree, else in a row of their own."""
    settings = study.settings[environment].environment
    ours = measured(study, scores, environment, kinds, captions.error_kind(study, environment, figures))
    theirs = published_values(figures, family(settings).published_name(settings))
    theirs = theirs[theirs["method"].isin(study.explore)]
    if ours.empty:
        return published_rows(settings.title, theirs)
    title = _title(settings.title, ours)
    if not theirs.empty and same_steps(ours, theirs):
        theirs = theirs.assign(title=lambda table: table["title"] + ", published")
        return [(f"{title}; hatched: published{captions.plus_minus(theirs['band'])}", pd.concat([ours, theirs]))]
    return [(title, ours), *published_rows(settings.title, theirs)]


def _title(title: str, table: pd.DataFrame) -> str:
    """Of a row of panels: the number of steps, if all made the same, the seeds, and what the lines are."""
    means = table[table["drawn"] == "mean"]
    steps = f"{style.count(means['steps'].max())} steps, " if same_steps(means, means) else ""
    return f"{title}: {steps}{captions.number(int(table['seeds'].max()), 'seed')}{captions.plus_minus(table['band'])}"


def published_rows(title: str, theirs: pd.DataFrame, what: str = "published") -> Rows:
    """The row of published values, if there are any."""
    return [] if theirs.empty else [(_title(f"{title}, {what}", theirs), theirs)]


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
    kinds = [kind for kind in dict.fromkeys(table["band"].dropna()) if kind != "none"]
    unread = "; a bar without one has an error that was too small to read" if (table["band"] == "none").any() else ""
    logged = " Points: the runs behind a bar, where the published logs have them." if (table["drawn"] == "seed").any() else ""
    return (
        f"Published values (paper Fig. {number}, read off the figure, about 2 % of the full scale): {what}, "
        f"{captions.number(int(table['steps'].max()), 'step')}, mean over {captions.number(int(table['seeds'].max()), 'seed')}; "
        f"the line is plus and minus one {captions.listing(kinds)}{unread}.{logged}"
        f"{above(table)}"
    )


def above(table: pd.DataFrame, method: str = "sensei", other: str = "plan2explore") -> str:
    """In how many panels the bar of one method is longer than that of another, as a sentence computed from the numbers drawn."""
    means = table[table["drawn"] == "mean"].pivot_table(index=["environment", "metric"], columns="method", values="value")
    if not {method, other} <= set(means):
        return ""
    both, titles = means[[method, other]].dropna(), published.titles()
    higher = int((both[method] > both[other]).sum())
    return f" {titles[method]}'s mean is above {titles[other]}'s in {higher} of {captions.number(len(both), 'panel')}."


def caption(study: Study, rows: Rows, what: str) -> str:
    """What a drawing of ours with published values is."""
    table = pd.concat([table for _, table in rows])
    ours = table[table["source"] == "ours"].groupby("environment", sort=False)["steps"].max()
    parts = [f"{study.settings[name].environment.title} ({captions.number(int(steps), 'step')})" for name, steps in ours.items()]
    text = (
        f"{what}: {captions.listing(parts)}, {captions.seeds(study)}. Bars are means, points are seeds; "
        f"{captions.band(captions.most_seeds(study), 'lines', table.loc[table['source'] == 'ours', 'band'])}."
    )
    theirs = table[table["source"] == "published"]
    if not theirs.empty:
        kinds = captions.listing(sorted(set(theirs["band"].dropna()) - {"none"}))
        text += (
            f" Hatched: published values (read off the paper's figure, their own steps and seeds in the title) with one {kinds} to either "
            "side, never rescaled; where our steps differ they have a row and axes of their own."
        )
    return text + captions.gates(study, study.explore)


def draw_tasks(study: Study, scores: pd.DataFrame, figure: Figure, what: str) -> Drawing:
    """Rewards of the tasks that the paper's figures of `figure` show, in its order."""
    rows: Rows = []
    for environment, kinds in fitting.rewarded(figure, study).items():
        rows += rows_of_panels(study, scores, environment, kinds, figure.published)
    return bar_panels.draw(rows, caption(study, rows, what))


def draw_published(number: int, what: str) -> Drawing:
    """The bars of the paper's figure `number`."""
    rows = rows_of_figure(number)
    return bar_panels.draw(rows, published_caption(number, rows, what))
