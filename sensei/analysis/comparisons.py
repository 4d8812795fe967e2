"""Tables that compare methods: aggregates over tasks, differences between any two, and how many times more steps one needs."""

import itertools
from collections.abc import Iterator

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics
from sensei.analysis.scores import counts, evaluations, task_rewards
from sensei.analysis.scores import interactions as kinds_of_interaction
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.models.study import Study

ALL = "all environments"
LEVELS = (0.5, 0.8)  # scores to which steps are counted; 1 is the best
CURVES = (7, 21, 13)  # the paper's figures with scores over task steps
AGGREGATES = {
    "mean": statistics.mean,
    "interquartile_mean": statistics.interquartile_mean,
    "optimality_gap": statistics.optimality_gap,
}
Task = tuple[str, str]  # environment, task


def tasks_of(study: Study) -> list[Task]:
    """Every task of the study."""
    return [(environment, task) for environment in study.environments for task in study.settings[environment].environment.tasks]


def final_scores(study: Study, scores: pd.DataFrame, tasks: list[Task], method: str) -> np.ndarray:
    """Final scores [tasks, seeds] of the seeds that all of `tasks` have; without `allow_partial` these are all that the axes name."""
    chosen = scores[(scores["metric"] == "final_score") & (scores["method"] == method)]
    table = chosen.pivot(index=["environment", "task"], columns="seed", values="value").reindex(pd.MultiIndex.from_tuples(tasks))
    shared = set.intersection(*(set(study.seeds_of(environment)) for environment, _ in tasks))
    table = table.reindex(columns=sorted(shared)).dropna(axis=1)
    assert study.allow_partial or len(table.columns) == len(shared), f"{study.study}: a final score of {method} is missing"
    return table.to_numpy()


def aggregates(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per learning method: final scores of all tasks together.

    Columns method, tasks, seeds, steps and most_steps (of the shortest and of the longest run), then mean, interquartile_mean and
    optimality_gap (of a best score of 1), each with its 95 % stratified bootstrap interval (_low, _high), each task a stratum.
    """
    tasks, rows = tasks_of(study), []
    for method in study.learn:
        values = final_scores(study, scores, tasks, method)
        if values.shape[1] == 0:
            continue
        steps = scores.loc[(scores["metric"] == "final_score") & (scores["method"] == method), "step"]
        row = {"method": method, "tasks": len(tasks), "seeds": values.shape[1], "steps": steps.min(), "most_steps": steps.max()}
        for name, statistic in AGGREGATES.items():
            low, high = statistics.bootstrap_interval(values, generator(0, "aggregates", name, method), statistic)
            row |= {name: float(statistic(values)), f"{name}_low": low, f"{name}_high": high}
        rows.append(row)
    columns = ["method", "tasks", "seeds", "steps", "most_steps"]
    columns += [f"{name}{end}" for name in AGGREGATES for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=columns)


def differences(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per quantity and pair of methods.

    Columns environment, quantity (an event of the exploration run, or the final score of a task), method, other, their seeds and steps,
    difference (of the means, method - other) with its 95 % Welch interval low and high, better (chance that a run of the method beats one
    of the other) with its 95 % bootstrap interval better_low and better_high.
    """
    rows = []
    for environment, quantity, found in _quantities(study, scores):
        for (method, (values, steps)), (other, (others, other_steps)) in itertools.combinations(found.items(), 2):
            low, high = statistics.difference_interval(values, others)
            rng = generator(0, "differences", environment, quantity, method, other)
            chance = statistics.comparison_interval(statistics.probability_of_improvement, values, others, rng)
            rows.append(
                {
                    "environment": environment,
                    "quantity": quantity,
                    "method": method,
                    "other": other,
                    "seeds": values.shape[1],
                    "other_seeds": others.shape[1],
                    "steps": steps,
                    "other_steps": other_steps,
                    "difference": float(values.mean() - others.mean()),
                    "low": low,
                    "high": high,
                    "better": float(statistics.probability_of_improvement(values, others)),
                    "better_low": chance[0],
                    "better_high": chance[1],
                }
            )
    columns = "environment quantity method other seeds other_seeds steps other_steps difference low high better better_low better_high"
    return pd.DataFrame(rows, columns=columns.split())


Found = dict[str, tuple[np.ndarray, int]]  # method -> values [strata, seeds], steps


def _quantities(study: Study, scores: pd.DataFrame) -> Iterator[tuple[str, str, Found]]:
    """(environment, what is compared, method -> its values and steps), methods without a run left out."""
    for environment in study.environments:
        settings = study.settings[environment].environment
        for event, parts in (kinds_of_interaction(settings) | task_rewards(settings)).items():
            runs = {method: counts(scores, environment, method, parts) for method in study.explore}
            yield (
                environment,
                event,
                {name: (run["value"].to_numpy()[None], int(run["step"].max())) for name, run in runs.items() if len(run)},
            )
    tasks = tasks_of(study)
    for name, members in [*((environment, [(environment, task)]) for environment, task in tasks), *[(ALL, tasks)] * (len(tasks) > 1)]:
        last = scores[scores["metric"] == "final_score"].set_index(["environment", "task"])
        last = last[last.index.isin(members)]
        values = {method: final_scores(study, scores, members, method) for method in study.learn}
        found = {method: (one, int(last.loc[last["method"] == method, "step"].max())) for method, one in values.items() if one.shape[1]}
        yield name, "score" if len(members) > 1 else f"score of {members[0][1]}", found


def efficiency(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per task, score and method beside the first of `learn`: how many times more steps its mean curve needs to reach the score.

    Columns environment, task, score, source (ours; published: the paper's curves), counted (task steps; all steps: with those of the
    exploration run), method, other, steps and other_steps (blank if it does not arrive), most_steps and other_most_steps (how far they
    were followed), ratio (other_steps / steps), at_least (in its place where the other does not arrive), at_most (where the method does
    not), low and high (95 % bootstrap interval of the ratio over seeds, infinite where the other need not arrive at all).
    """
    rows = []
    for environment, task in tasks_of(study):
        ours = _ours(study, scores, environment, task)
        for level, (counted, source, curves) in itertools.product(LEVELS, [*ours, *_published(study, environment, task)]):
            first, *rest = [name for name in study.learn if name in curves] or [None]
            for other in rest if study.learn[:1] == [first] else ():
                row = {"environment": environment, "task": task, "score": level, "source": source, "counted": counted}
                rng = generator(0, "efficiency", environment, task, level, counted, other)
                rows.append(row | {"method": first, "other": other} | _ratio(level, curves[first], curves[other], rng))
    columns = (
        "environment task score source counted method other steps other_steps most_steps other_most_steps ratio at_least at_most low high"
    )
    return pd.DataFrame(rows, columns=columns.split())


Curve = tuple[np.ndarray, np.ndarray]  # steps [T], scores [seeds, T]


def _ours(study: Study, scores: pd.DataFrame, environment: str, task: str) -> Iterator[tuple[str, str, dict[str, Curve]]]:
    """(what is counted, "ours", method -> curve) of one task; all steps only where a method has explored."""
    curves = {}
    for method in study.learn:
        runs = evaluations(scores, environment, task, method)
        if len(runs) > 1:
            curves[method] = runs.index.to_numpy(float), runs.to_numpy().T
    yield "task steps", "ours", curves
    before = study.settings[environment].training.explore_steps
    explored = {method for method in curves if study.methods[method].explores}
    if explored:
        yield "all steps", "ours", {name: (steps + before * (name in explored), curve) for name, (steps, curve) in curves.items()}


def _published(study: Study, environment: str, task: str) -> Iterator[tuple[str, str, dict[str, Curve]]]:
    """The same of the paper's curves, of a method all that there are, one seed each: their mean."""
    settings = study.settings[environment].environment
    name = family(settings).published_name(settings)
    table = published.curves(*CURVES)
    table = table[(table["environment"] == name) & table["task"].isin([task, name]) & table["method"].isin(study.learn)]
    curves = {method: rows.drop_duplicates("x").sort_values("x") for method, rows in table.groupby("method")}
    if curves:
        yield "task steps", "published", {name: (rows["x"].to_numpy(float), rows["mean"].to_numpy()[None]) for name, rows in curves.items()}


def _ratio(level: float, method: Curve, other: Curve, rng: np.random.Generator) -> dict[str, float]:
    """What `efficiency` says of two methods."""
    bounds = [statistics.steps_to(level, *curve) for curve in (method, other)]
    (least, steps), (other_least, other_steps) = [(float(low), float(high)) for low, high in bounds]
    row = {
        "steps": steps if np.isfinite(steps) else np.nan,
        "other_steps": other_steps if np.isfinite(other_steps) else np.nan,
        "most_steps": method[0][-1],
        "other_most_steps": other[0][-1],
    }
    if not np.isfinite([steps, other_steps]).any():
        return row
    row["low"], row["high"] = statistics.efficiency_interval(level, method, other, rng)
    if np.isfinite([steps, other_steps]).all():
        return row | {"ratio": other_steps / steps}
    return row | ({"at_least": other_least / steps} if np.isfinite(steps) else {"at_most": other_steps / least})
