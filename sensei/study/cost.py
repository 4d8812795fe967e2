"""What a stage costs: minutes, memory, processes; and what a study takes on the disk."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from sensei.core.verification import verified
from sensei.envs.registry import family
from sensei.envs.trial import Seen
from sensei.study.layout import Layout
from sensei.study.load import read_study
from sensei.study.models.study import Study
from sensei.study.stage import Job, check_names

# MB of an exploring agent with its optimisers, by network preset; counted. One that learns a task takes half.
AGENT = {"tiny": 23, "XS": 23, "S": 507, "M": 985, "L": 1911, "XL": 4579}
OTHER_AGENT = 30  # of any other algorithm
VIDEO = 2  # MB, of the video and the tables of a run
STEP_BYTES = 400  # of a step in the replay, beside its picture
ROW_BYTES = 300  # of a pair in its table, and of its answer by one annotator
LONGEST_JOB = 24 * 60  # minutes that a job asks for at most: what most clusters allow; a longer run goes on in the next job


class Limit(NamedTuple):
    """What a job asks for at most: minutes, and MB of memory."""

    minutes: int
    memory: int


LIMITS = {  # of stages whose jobs all ask for the same
    "collect": Limit(60, 2000),
    "caption-clip": Limit(60, 4000),
    "annotate": Limit(240, 4000),
    "merge": Limit(30, 4000),
    "trust": Limit(10, 1000),
    "tabulate": Limit(30, 2000),
    "figure": Limit(30, 3000),
    "tables": Limit(30, 2000),
    "report": Limit(30, 2000),
}
OWN = Limit(60, 4000)  # of stages that a study names


def limit(study: Study, stage: str, job: Job) -> Limit:
    """Time and memory of a job of a stage, in the workflow and in the plan."""
    if stage in ("explore", "learn"):
        run = study, stage, job.environment, job.method
        return Limit(job_minutes(*run), run_memory(*run))
    if stage == "pairs":
        return Limit(pairs_minutes(study, job.environment), 8000)
    if stage == "distil":
        return Limit(240, frames_memory(study, job.environment))
    return LIMITS.get(stage, OWN)


def run_steps(study: Study, stage: str, environment: str, method: str) -> int:
    """Agent steps of a run of stage `explore` or `learn`."""
    training = study.settings[environment].training
    if stage == "explore":
        return training.explore_steps
    return training.task_steps(method)


def run_minutes(study: Study, stage: str, environment: str, method: str) -> int:
    """Time of a run on a cluster: its updates, its steps, and half an hour."""
    parts = study.settings[environment]
    steps = run_steps(study, stage, environment, method)
    updates = parts.training.updates(steps)
    seconds = family(parts.environment).seconds_per_step * steps + study.methods[method].agent("seconds_per_update") * updates
    return int(30 + seconds / 60)


def job_minutes(study: Study, stage: str, environment: str, method: str) -> int:
    """Time limit of a job that begins a run or goes on with it."""
    return min(run_minutes(study, stage, environment, method), LONGEST_JOB)


def jobs_in_a_row(study: Study, stage: str) -> int:
    """Jobs that the longest run of stage `explore` or `learn` needs, one after the other."""
    methods = study.explore if stage == "explore" else study.learn
    return max(links(study, stage, name, method) for name in study.settings for method in methods)


def links(study: Study, stage: str, environment: str, method: str) -> int:
    """Jobs that a run needs, one after the other."""
    return -(-run_minutes(study, stage, environment, method) // LONGEST_JOB)


def run_memory(study: Study, stage: str, environment: str, method: str) -> int:
    """Memory of a run in MB: the pictures of the replay twice (the file cache holds them too) and 4 GB for the rest."""
    parts = study.settings[environment]
    kept = min(run_steps(study, stage, environment, method), parts.training.replay_capacity)
    return 4000 + 2 * kept * 3 * parts.world_model.image_size**2 // 10**6


def pairs_processes(study: Study, environment: str) -> int:
    """Processes that draw the frames of the pairs side by side: one where the collection keeps them."""
    return 8 if family(study.settings[environment].environment).renders_states else 1


def pairs_minutes(study: Study, environment: str) -> int:
    """Time limit of drawing the pairs: an hour and, where frames are drawn again, each of two sides in two views, side by side."""
    parts = study.settings[environment]
    drawing = family(parts.environment)
    drawn = 4 * parts.pairs.number * drawing.renders_states
    return int(60 + drawing.seconds_per_picture * drawn / pairs_processes(study, environment) / 60)


def frames_memory(study: Study, environment: str) -> int:
    """Memory in MB of a job that holds every frame of the pairs, two a pair."""
    parts = study.settings[environment]
    return 4000 + 2 * parts.pairs.number * 3 * family(parts.environment).annotator_side ** 2 // 10**6


def study_bytes(study: Study, files: Layout, seen: Mapping[str, Seen]) -> int:
    """What is still to be written on the disk, roughly: all that stays, and the largest state of a run, which is deleted at its end.

    Args:
        files: where the study is; what is there already takes no more room.
        seen: environment -> how large its pictures are; those of others are left out.
    """
    kept = list(kept_bytes(study, files, seen))
    return sum(stays for _, stays, _ in kept) + max((passes for _, _, passes in kept), default=0)


Kept = Iterator[tuple[str, int, int]]  # stage, bytes that stay, bytes of its state beside them while it runs


def kept_bytes(study: Study, files: Layout, seen: Mapping[str, Seen]) -> Kept:
    """What `study_bytes` adds up, stage by stage, of what is not there yet."""
    yield from _run_bytes(study, files)
    for name in seen:
        yield from _picture_bytes(study, files, name, seen[name])


def _run_bytes(study: Study, files: Layout) -> Kept:
    """Of each run."""
    runs = [("explore", run[0], run[1], files.explore(*run)) for run in study.exploration_runs()]
    runs += [("learn", run[0], run[2], files.learn(*run)) for run in study.task_runs()]
    for stage, environment, method, made in runs:
        if not made.events.exists():
            parts = study.settings[environment]
            learns = study.methods[method].agent("takes_sources")
            agent = (AGENT[parts.world_model.size] // (1 + (stage == "learn")) if learns else OTHER_AGENT) * 10**6
            steps = min(run_steps(study, stage, environment, method), parts.training.replay_capacity) * learns
            # A state is written beside the one before it.
            yield stage, agent + VIDEO * 10**6, 2 * agent + steps * (3 * parts.world_model.image_size**2 + STEP_BYTES)


def _picture_bytes(study: Study, files: Layout, environment: str, seen: Seen) -> Kept:
    """Of the collector's episodes, the frames of the pairs, and the labels."""
    parts, drawing = study.settings[environment], family(study.settings[environment].environment)
    steps, seeds = parts.training.explore_steps, parts.pairs.seeds
    gathered = [seed for seed in seeds if not files.explore(environment, study.collector, seed).events.exists()]
    yield "explore", len(gathered) * steps * (seen.image_bytes + (0 if drawing.renders_states else seen.annotator_bytes)), 0
    if not files.pairs(environment).pairs.exists():
        frames = min(2 * parts.pairs.number, steps * len(seeds)) * len(drawing.annotator_views)
        yield "pairs", frames * seen.annotator_bytes + parts.pairs.number * ROW_BYTES, 0
    unlabelled = [name for name in study.annotators_of(environment) if not files.labels(environment, name).labels.exists()]
    yield "annotate", 2 * len(unlabelled) * parts.pairs.number * ROW_BYTES, 0


def estimated(study_path: Path, environment: str, annotator: str) -> list[str]:
    """What asking an annotator about all pairs would take, in lines for people: those there are, or as many as the study asks for.

    Raises:
        SenseiError: a name is not in the study, or a file is damaged.
    """
    from sensei.annotators.estimate import estimate_lines

    study, files = read_study(study_path), Layout.of(study_path)
    check_names(study, study_path, Job(environment=environment, annotator=annotator))
    made = files.pairs(environment)
    drawn = (made.pairs, made.frames) if made.pairs.exists() and made.frames.exists() else (None, None)
    for path in filter(None, drawn):
        verified(path)
    return estimate_lines(study, environment, annotator, *drawn, files.ledger)
