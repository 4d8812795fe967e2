"""How long work takes, from what was measured: on this machine by the runs of the study themselves, else in docs/performance.md."""

import json
from pathlib import Path
from typing import NamedTuple

from sensei.annotators.estimate import questions_of
from sensei.envs.registry import family
from sensei.study.cost import AGENT, pairs_so_far, run_steps
from sensei.study.graph import Work
from sensei.study.layout import Layout
from sensei.study.models.annotators import annotator_class
from sensei.study.models.study import Study

OWN_RUNS, MEASURED, SCALED = "runs of this study", "docs/performance.md", "the same, by size"
SMOKE, UNKNOWN = "smoke study", "not measured"
# Seconds of an update and all that goes with it, SENSEI's loop with ensemble: one H100, 16 x 64, bfloat16, whole loop of config/paper.yaml.
CARD = {"XS": 1 / 56, "S": 1 / 56, "M": 1 / 20}
# Seconds of one core of a server for each replayed step of an update.
CORE = {"tiny": 2 * 0.167 / 256, "XS": 0.097 / 256, "S": 2 * 4.65 / 1024}
LEARN = 0.55  # of an update on a core, where there is neither ensemble nor exploration behaviour
PAIR = {"paper": 8.5e-8, "small": 4.2e-8}  # seconds of one core to learn from a pair once, for each pixel of a picture
QUESTION = 0.015  # seconds of one core to answer a question, by the slowest annotator that needs no server and no language model
JOB = {"collect": 2, "merge": 2, "trust": 1, "caption-clip": 60, "tabulate": 2, "figure": 10, "tables": 5, "report": 5}


class Time(NamedTuple):
    """Seconds of one core or of one card; None if nobody knows. source: where the number is from."""

    seconds: float | None
    source: str


def time_of(study: Study, files: Layout, one: Work) -> Time:
    """What a job takes from its beginning to its end, all jobs of a chain together."""
    stage, job = one.stage.name, one.job
    if stage in ("explore", "learn"):
        return _own_rate(study, files, one) or _known_rate(study, one)
    generation = int(job.generation)
    parts = study.settings_of(job.environment, generation) if job.environment in study.settings else None
    if stage in ("pairs", "own-pairs"):
        drawing = family(parts.environment)
        return Time(10 + drawing.renders_states * 4 * parts.pairs.number * drawing.seconds_per_picture, SMOKE)
    if stage == "annotate":
        if annotator_class(study.annotator_settings[job.annotator].kind).asks_server:
            return Time(None, "waits for a server or a person")
        return Time(5 + QUESTION * questions_of(study, job.environment, job.annotator, generation) / parts.pairs.shards, SMOKE)
    if stage == "distil" and on_card(study, one):
        return Time(None, UNKNOWN)
    if stage == "distil":
        learned = parts.reward.epochs * pairs_so_far(study, job.environment, generation) * float(job.share)
        return Time(5 + PAIR[parts.reward.architecture] * family(parts.environment).annotator_side ** 2 * learned, SMOKE)
    return Time(JOB[stage], SMOKE) if stage in JOB else Time(None, UNKNOWN)


def on_card(study: Study, one: Work) -> bool:
    """Whether a job asks for a card: runs and reward models, unless the study computes on the CPU."""
    trains = one.stage.name in ("explore", "learn", "distil")
    return trains and study.settings[one.job.environment].training.device != "cpu"


def _own_rate(study: Study, files: Layout, one: Work) -> Time | None:
    """From the timings of runs of this study that do the same with the same algorithm, whole or under way; None before there are any."""
    algorithm = study.methods[one.job.method].algorithm
    same = [name for name, method in study.methods.items() if method.algorithm == algorithm]
    environment, seeds, prefill = (
        one.job.environment,
        study.seeds_of(one.job.environment),
        study.settings[one.job.environment].training.prefill,
    )
    if one.stage.name == "explore":
        runs = [files.explore(environment, name, seed) for name in same for seed in seeds]
    else:
        runs = [files.learn(environment, one.job.task, name, seed) for name in same for seed in seeds]
    found = [rate for run in runs if run.timing.exists() for rate in _rates(run.timing, prefill)]
    if not found:
        return None
    return Time(_steps(study, one) * sum(found) / len(found), OWN_RUNS)


def _steps(study: Study, one: Work) -> int:
    return run_steps(study, one.stage.name, one.job.environment, one.job.method, int(one.job.generation))


def _rates(timing: Path, prefill: int) -> list[float]:
    """Seconds a step of a run, once it has done more than to fill its replay."""
    try:
        lines = [json.loads(line) for line in timing.read_text(encoding="utf-8").splitlines()]
        steps, seconds = sum(line["seconds"] * line["steps_per_second"] for line in lines), sum(line["seconds"] for line in lines)
    except (OSError, ValueError, KeyError, TypeError):  # it is being written
        return []
    return [seconds / steps] if steps > 2 * prefill else []


def _known_rate(study: Study, one: Work) -> Time:
    parts = study.settings[one.job.environment]
    training, size = parts.training, parts.world_model.size
    steps, batch = _steps(study, one), training.batch_size * training.batch_length
    seconds, source = family(parts.environment).seconds_per_step * steps, MEASURED
    if study.methods[one.job.method].agent("seconds_per_update"):
        known, share = (CARD, 1.0) if on_card(study, one) else (CORE, batch * (LEARN if one.stage.name == "learn" else 1.0))
        nearest = size if size in known else next(name for name in ("M", "S") if name in known)
        scale = 1.0 if size in known or AGENT[size] < AGENT[nearest] else AGENT[size] / AGENT[nearest]
        seconds += known[nearest] * scale * share * training.updates(steps)
        source = MEASURED if size in known else SCALED
    return Time(seconds, source)
