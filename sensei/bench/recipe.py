"""What each option of a recipe is worth: exploration without it, and with it alone, beside the whole recipe and none of it."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer

from sensei.analysis.scores import exploration_scores
from sensei.analysis.statistics import difference_interval
from sensei.bench.measure import Json, emit, machine
from sensei.bench.studies import resolve
from sensei.core.errors import SenseiError
from sensei.core.files import write_text
from sensei.core.progress import progress
from sensei.core.yaml import read_yaml
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import dump_study
from sensei.study.models.study import Study

OPTIONS = (  # of docs/recipe.md; not what only sets how long an update takes
    "behaviour.actor_delay",
    "behaviour.actor_learning_rate",
    "behaviour.corrected_scales",
    "behaviour.entropy",
    "behaviour.actor_uniform_mix",
    "behaviour.discount",
    "behaviour.horizon",
    "behaviour.learning_rate",
    "ensemble.learning_rate",
    "training.flag_windows",
    "world_model.learning_rate",
    "world_model.network",
    "world_model.image_weight",
    "world_model.flag_weight",
    "world_model.free_nats",
)
WHOLE, NONE = "whole", "none"


class Variant(NamedTuple):
    """A recipe to try: its name, which of the options it lacks, and the one that it is compared with."""

    name: str
    lacks: tuple[str, ...]
    reference: str


def recipe(
    folder: Annotated[Path, typer.Option(help="where runs are kept; finished ones are not made again, and others go on")],
    study: Annotated[Path, typer.Option(help="study file with the recipe")] = CONFIG_FOLDER / "config.yaml",
    environment: Annotated[str, typer.Option("--env", help="a file of config/envs")] = "minihack_keyroom_s5",
    method: Annotated[str, typer.Option(help="a method that explores")] = "sensei",
    reward: Annotated[
        Path | None, typer.Option(help="reward.safetensors that every run follows, for methods with a semantic reward")
    ] = None,
    option: Annotated[list[str] | None, typer.Option(help="SECTION.KEY; by default those of docs/recipe.md that the study sets")] = None,
    alone: Annotated[bool, typer.Option(help="also each option by itself")] = False,
    seed: Annotated[list[int] | None, typer.Option(help="by default 100, 101 and 102, on which nothing was searched")] = None,
    cores: Annotated[int, typer.Option(min=1, help="runs side by side, one thread each")] = 1,
    json: Json = None,
) -> None:
    """What is each option of the recipe worth? JSON: totals of every run, and differences with 95 % intervals (Welch, over seeds)."""
    content = read_yaml(study)
    options = tuple(option) if option else tuple(name for name in OPTIONS if _set_in(content, name))
    if unknown := [name for name in options if not _set_in(content, name)]:
        raise SenseiError(f"{study} does not set {', '.join(unknown)}", hint="name options as SECTION.KEY, such as behaviour.entropy")
    variants = [Variant(WHOLE, (), WHOLE), *(Variant(f"without_{name}", (name,), WHOLE) for name in options)]
    if alone:
        others = {name: tuple(other for other in options if other != name) for name in options}
        variants += [Variant(NONE, options, NONE), *(Variant(f"alone_{name}", others[name], NONE) for name in options)]
    seeds = seed or [100, 101, 102]
    studies = {variant.name: resolve(_reduced(content, variant), environment, method, {}) for variant in variants}
    _carry_out(
        studies, folder, ["--environment", environment, "--method", method, *(["--reward", str(reward)] if reward else [])], seeds, cores
    )
    events = studies[WHOLE].settings[environment].environment.events
    totals = {name: _totals([folder / name / f"seed{one}" / "events.parquet" for one in seeds], events) for name in studies}
    about = {"bench": "recipe", "study": str(study), "environment": environment, "method": method, "seeds": seeds}
    differences = {variant.name: _differences(totals, variant) for variant in variants if variant.reference != variant.name}
    emit({**about, "totals": totals, "differences": differences, "machine": machine(1)}, json)


def _set_in(content: dict[str, Any], name: str) -> bool:
    section, _, key = name.partition(".")
    return isinstance(content.get(section), dict) and key in content[section]


def _reduced(content: dict[str, Any], variant: Variant) -> dict[str, Any]:
    """The study with the paper's values for what a variant lacks."""
    content = deepcopy(content) | {"study": variant.name.replace(".", "-")}
    for name in variant.lacks:
        section, _, key = name.partition(".")
        del content[section][key]
    return content


def _carry_out(studies: dict[str, Study], folder: Path, words: list[str], seeds: list[int], cores: int) -> None:
    """Explore in a process for each recipe and seed, `cores` at a time; what is finished stays.

    Raises:
        SenseiError: a run failed, whose last words are said.
    """

    def explore(name: str, seed: int) -> None:
        run = folder / name / f"seed{seed}"
        if not (run / "agent.pt").exists():
            command = [sys.executable, "-m", "sensei", "explore", "--study", str(folder / name / "study.yaml"), *words]
            done = subprocess.run([*command, "--seed", str(seed), "--folder", str(run)], capture_output=True, text=True, check=False)
            if done.returncode:
                raise SenseiError(f"run {name} with seed {seed} ended with {done.returncode}", found=done.stderr.strip()[-500:])
        bar.update()

    for name, study in studies.items():
        write_text(folder / name / "study.yaml", dump_study(study))
    with progress(len(studies) * len(seeds), "recipe", "runs") as bar, ThreadPoolExecutor(cores) as pool:
        jobs = [pool.submit(explore, name, seed) for name in studies for seed in seeds]
        try:
            for job in jobs:
                job.result()
        except SenseiError:
            pool.shutdown(cancel_futures=True)
            raise


def _totals(paths: list[Path], events: list[str]) -> dict[str, list[float]]:
    """What happened in all of each run: metric -> a number a seed."""
    runs = [{row["metric"]: row["value"] for row in exploration_scores(path, events)} for path in paths]
    return {metric: [run[metric] for run in runs] for metric in runs[0]}


def _differences(totals: dict[str, dict[str, list[float]]], variant: Variant) -> dict[str, dict[str, float]]:
    """Metric -> how much more of it than under the reference, and the 95 % interval where there is one."""
    found = {}
    for metric, values in totals[variant.name].items():
        own, others = np.array([values]), np.array([totals[variant.reference][metric]])
        low, high = difference_interval(own, others)
        found[metric] = {"mean": own.mean() - others.mean()} | ({} if np.isnan(low) else {"low": low, "high": high})
    return found
