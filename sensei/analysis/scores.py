"""One tidy table of everything the runs of a study counted and scored."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from sensei.analysis.cards import read_table
from sensei.core.errors import SenseiError
from sensei.core.files import atomic
from sensei.envs.contract import TASK_EVENT
from sensei.envs.registry import family
from sensei.study.layout import Layout, RunFiles
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.study import Study

COLUMNS = ["environment", "task", "method", "seed", "step", "metric", "value"]
EXPLORE = "explore"
FINAL_EVALUATIONS = 3
# Columns of events.parquet that are no event.
BOOKKEEPING = ["worker", "episode", "finished", "first_step", "last_step", "length", "episode_return", "semantic_return"]


def interactions(environment: EnvironmentConfig) -> dict[str, list[str]]:
    """Interaction as figures and tables call it -> the events that it sums, in the order of the figures."""
    return family(environment).interactions(environment.events)


def task_rewards(environment: EnvironmentConfig) -> dict[str, list[str]]:
    """Task -> the event that is its sparse reward, for environments that count it."""
    return {event.removeprefix(TASK_EVENT): [event] for event in environment.events if event.startswith(TASK_EVENT)}


def counts(scores: pd.DataFrame, environment: str, method: str, events: list[str]) -> pd.DataFrame:
    """Columns seed, step and value of the exploration runs of `method`, ordered by seed: the sum over `events`, per run."""
    chosen = (scores["environment"] == environment) & (scores["task"] == EXPLORE) & (scores["method"] == method)
    runs = scores[chosen & scores["metric"].isin(events)].groupby("seed")
    return runs.agg(step=("step", "max"), value=("value", "sum")).reset_index()


def evaluations(scores: pd.DataFrame, environment: str, task: str, method: str) -> pd.DataFrame:
    """Scores of a task by a method: a row for each number of steps that all its runs were evaluated at, a column for each seed."""
    chosen = (scores["environment"] == environment) & (scores["task"] == task) & (scores["metric"] == "score")
    return scores[chosen & (scores["method"] == method)].pivot(index="step", columns="seed", values="value").dropna()


class Run(NamedTuple):
    """One run of a study; task "explore" is an exploration run."""

    environment: str
    task: str
    method: str
    seed: int

    def __str__(self) -> str:
        return f"{self.environment} {self.task} {self.method} seed {self.seed}"


Runs = tuple[list[tuple[str, str, int]], list[tuple[str, str, str, int]]]  # exploration runs, task runs


def present(study: Study, layout: Layout) -> Runs:
    """The runs that are asked for: all that the axes name, or, with `allow_partial`, those that are there; all, while there is none."""
    explored, learned = study.exploration_runs(), study.task_runs()
    if not study.allow_partial:
        return explored, learned
    found = (
        [run for run in explored if explored_run(study, layout, *run).events.exists()],
        [run for run in learned if layout.learn(*run).metrics.exists()],
    )
    return found if any(found) else (explored, learned)


def explored_run(study: Study, layout: Layout, environment: str, method: str, seed: int) -> RunFiles:
    """Where an exploration run ended: its last generation, whose files tell of all of it."""
    return layout.explore(environment, method, seed, study.last_generation(environment, method))


def inputs(study: Study, layout: Layout) -> dict[str, list[Path]]:
    """What `tabulate` reads: the events of every exploration run and the metrics of every task run, in the order of the axes."""
    explored, learned = present(study, layout)
    events = [explored_run(study, layout, *run).events for run in explored]
    return {"events": events, "metrics": [layout.learn(*run).metrics for run in learned]}


def tabulate(study: Study, layout: Layout, output: Path) -> pd.DataFrame:
    """Gather every run that the axes of the study name; with `allow_partial`, every one that is there.

    Args:
        output: where the table is written too.

    Returns:
        Columns environment, task, method, seed, step, metric, value. Exploration runs have task "explore" and one row a metric:
        each event's total over the run, "semantic_return" (its total, where a reward model was at work) and "episodes"
        (finished ones), at the last step of the run. Task runs have one row "score" per evaluation (step in task steps)
        and one row "final_score", the mean of the last 3 evaluations.

    Raises:
        SenseiError: runs are missing or damaged; one message names all of them.
    """
    rows: list[dict] = []
    faults: list[str] = []
    files, (explored, learned) = inputs(study, layout), present(study, layout)
    for (environment, method, seed), path in zip(explored, files["events"], strict=True):
        events = study.settings[environment].environment.events
        found = _gather(faults, path, lambda path, events=events: exploration_scores(path, events))
        rows += [{"environment": environment, "task": EXPLORE, "method": method, "seed": seed, **row} for row in found]
    for (environment, task, method, seed), path in zip(learned, files["metrics"], strict=True):
        found = _gather(faults, path, task_scores)
        rows += [{"environment": environment, "task": task, "method": method, "seed": seed, **row} for row in found]
    if faults:
        what = f"study {study.study}: {len(faults)} run(s) missing or damaged:\n" + "\n".join(f"  {fault}" for fault in faults)
        raise SenseiError(what, hint=f"{how_to_make(study, layout)} (delete a damaged run's folder first)")
    table = pd.DataFrame(rows, columns=COLUMNS)
    with atomic(output) as temporary:
        table.to_parquet(temporary, index=False)
    return table


def how_to_make(study: Study, layout: Layout) -> str:
    """What makes runs that are missing, as a sentence with a command for the first one."""
    runs = [("explore", *run) for run in study.exploration_runs() if not explored_run(study, layout, *run).events.exists()]
    runs += [("learn", *run) for run in study.task_runs() if not layout.learn(*run).metrics.exists()]
    options = {"explore": ("environment", "method", "seed"), "learn": ("environment", "task", "method", "seed")}
    by_hand = ""
    if runs:
        (stage, *names), *_ = runs
        words = " ".join(f"--{option} {name}" for option, name in zip(options[stage], names, strict=True))
        by_hand = f", the first one by hand `python -m sensei {stage} --study {layout.study} {words}`"
    return f"`snakemake train_all` with the study's --configfile makes what is missing{by_hand}; `allow_partial: true` does without"


def missing_runs(study: Study, table: pd.DataFrame, phases: tuple[str, ...] = (EXPLORE, "learn")) -> list[Run]:
    """The runs of the axes that `table` (columns environment, method, seed, and task unless all explored) has no row of."""
    tasks = table["task"] if "task" in table else pd.Series(EXPLORE, table.index)
    there = set(zip(table["environment"], tasks, table["method"], table["seed"].astype(int), strict=True))
    wanted = [Run(name, EXPLORE, method, seed) for name, method, seed in study.exploration_runs()] if EXPLORE in phases else []
    wanted += [Run(*run) for run in study.task_runs()] if "learn" in phases else []
    return [run for run in wanted if run not in there]


def _gather(faults: list[str], path: Path, read: Callable[[Path], list[dict]]) -> list[dict]:
    """What `read` finds in a file; a fault is noted instead of raised, so that one message can name all."""
    try:
        return read(path)
    except FileNotFoundError:
        faults.append(f"{path} is missing")
    except (ValueError, KeyError, TypeError, OSError) as error:  # pyarrow's errors are ValueError and OSError
        faults.append(f"{path} is damaged ({' '.join(str(error).split())[:120]})")
    return []


def exploration_scores(path: Path, events: list[str]) -> list[dict]:
    """Totals of one `events.parquet` over all its episodes, the unfinished ones included.

    Args:
        events: event columns that must be there.

    Raises:
        ValueError: the table is empty or lacks a column.
        FileNotFoundError, OSError: from reading.
    """
    table = pd.read_parquet(path)
    if lacking := [column for column in [*BOOKKEEPING, *events] if column not in table.columns]:
        raise ValueError(f"no column {', '.join(lacking)}")
    if table.empty:
        raise ValueError("no episode")
    step = int(table["last_step"].max())
    totals = {event: float(table[event].sum()) for event in table.columns if event not in BOOKKEEPING}
    if table["semantic_return"].notna().any():
        totals["semantic_return"] = float(table["semantic_return"].sum())
    totals["episodes"] = float(table["finished"].sum())
    return [{"step": step, "metric": metric, "value": value} for metric, value in totals.items()]


def task_scores(path: Path) -> list[dict]:
    """Evaluations of one `metrics.jsonl`, then "final_score": the mean of the last three (or fewer, if there are fewer).

    Raises:
        ValueError: a line is not JSON, or there is no evaluation.
        FileNotFoundError, OSError: from reading.
    """
    scores = [{"step": int(line["step"]), "metric": "score", "value": float(line["evaluation/score"])} for line in _evaluations(path)]
    if not scores:
        raise ValueError("no evaluation/score")
    last = scores[-FINAL_EVALUATIONS:]
    final = {"step": scores[-1]["step"], "metric": "final_score", "value": sum(row["value"] for row in last) / len(last)}
    return [*scores, final]


def _evaluations(path: Path) -> Iterator[dict]:
    with open(path, encoding="utf-8") as file:
        for number, text in enumerate(file, 1):
            try:
                line = json.loads(text)
            except ValueError as error:
                raise ValueError(f"line {number} is not JSON") from error
            if "evaluation/score" in line:
                yield line


def read_scores(path: Path) -> pd.DataFrame:
    """The table that `tabulate` wrote; a missing or damaged one is a SenseiError that names it."""
    table = read_table(path, "tabulate")
    if list(table.columns) != COLUMNS:
        raise SenseiError(f"{path} is no table of scores", found=", ".join(table.columns), expected=", ".join(COLUMNS))
    return table
