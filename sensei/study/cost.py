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
        run = study, stage, job.environment, job.method, int(job.generation)
        return Limit(job_minutes(*run), run_memory(*run))
    if stage in ("pairs", "own-pairs"):
        return Limit(pairs_minutes(study, job.environment, int(job.generation)), 8000)
    if stage == "distil":
        return Limit(240, frames_memory(study, job.environment, int(job.generation)))
    return LIMITS.get(stage, OWN)


def run_ends(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> tuple[int, int]:
    """Agent steps after which a run of stage `explore` or `learn` begins, and those after which it ends."""
    if stage == "learn":
        return 0, study.settings[environment].training.task_steps(method)
    ends = study.generation_ends(environment)
    if study.last_generation(environment, method) == 1:
        return 0, ends[-1]
    return (0, *ends)[generation - 1], ends[generation - 1]


def run_steps(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> int:
    """Agent steps of a run of stage `explore` or `learn`."""
    begins, ends = run_ends(study, stage, environment, method, generation)
    return ends - begins


def run_minutes(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> int:
    """Time of a run on a cluster: its updates, its steps, and half an hour."""
    parts = study.settings[environment]
    steps = run_steps(study, stage, environment, method, generation)
    updates = parts.training.updates(steps)
    seconds = family(parts.environment).seconds_per_step * steps + study.methods[method].agent("seconds_per_update") * updates
    return int(30 + seconds / 60)


def job_minutes(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> int:
    """Time limit of a job that begins a run or goes on with it."""
    return min(run_minutes(study, stage, environment, method, generation), LONGEST_JOB)


def jobs_in_a_row(study: Study, stage: str) -> int:
    """Jobs that the longest run of stage `explore` or `learn` needs, one after the other."""
    methods = study.explore if stage == "explore" else study.learn
    runs = [(name, method) for name in study.settings for method in methods]
    return max(links(study, stage, *run, generation) for run in runs for generation in generations(study, stage, *run))


def generations(study: Study, stage: str, environment: str, method: str) -> range:
    """The runs, one after the other, of which a run of stage `explore` or `learn` consists."""
    return range(1, 1 + (study.last_generation(environment, method) if stage == "explore" else 1))


def links(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> int:
    """Jobs that a run needs, one after the other."""
    return -(-run_minutes(study, stage, environment, method, generation) // LONGEST_JOB)


def run_memory(study: Study, stage: str, environment: str, method: str, generation: int = 1) -> int:
    """Memory of a run in MB: the pictures of the replay twice (the file cache holds them too) and 4 GB for the rest."""
    parts = study.settings[environment]
    kept = min(run_ends(study, stage, environment, method, generation)[1], parts.training.replay_capacity)
    return 4000 + 2 * kept * 3 * parts.world_model.image_size**2 // 10**6


def pairs_processes(study: Study, environment: str) -> int:
    """Processes that draw the frames of the pairs side by side: one where the collection keeps them."""
    return 8 if family(study.settings[environment].environment).renders_states else 1


def pairs_minutes(study: Study, environment: str, generation: int = 1) -> int:
    """Time limit of drawing the pairs: an hour and, where frames are drawn again, each of two sides in two views, side by side."""
    parts = study.settings_of(environment, generation)
    drawing = family(parts.environment)
    drawn = 4 * parts.pairs.number * drawing.renders_states
    return int(60 + drawing.seconds_per_picture * drawn / pairs_processes(study, environment) / 60)


def frames_memory(study: Study, environment: str, generation: int = 1) -> int:
    """Memory in MB of a job that holds every frame of the pairs of all generations so far, two a pair; more than one are held twice."""
    pairs = pairs_so_far(study, environment, generation) * min(generation, 2)
    return 4000 + 2 * pairs * 3 * family(study.settings[environment].environment).annotator_side ** 2 // 10**6


def pairs_so_far(study: Study, environment: str, generation: int) -> int:
    """Pairs of a generation and of those before it."""
    return sum(study.settings_of(environment, number).pairs.number for number in range(1, 1 + generation))


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
    runs = [
        ("explore", *run[:2], number, files.explore(*run, number))
        for run in study.exploration_runs()
        for number in generations(study, "explore", *run[:2])
    ]
    runs += [("learn", run[0], run[2], 1, files.learn(*run)) for run in study.task_runs()]
    for stage, environment, method, generation, made in runs:
        if not made.events.exists():
            parts = study.settings[environment]
            learns = study.methods[method].agent("takes_sources")
            agent = (AGENT[parts.world_model.size] // (1 + (stage == "learn")) if learns else OTHER_AGENT) * 10**6
            steps = min(run_ends(study, stage, environment, method, generation)[1], parts.training.replay_capacity) * learns
            replay = steps * (3 * parts.world_model.image_size**2 + STEP_BYTES)
            handed_on = (agent + replay) * (stage == "explore" and generation < study.last_generation(environment, method))
            # A state is written beside the one before it.
            yield stage, agent + VIDEO * 10**6 + handed_on, 2 * agent + replay


def _picture_bytes(study: Study, files: Layout, environment: str, seen: Seen) -> Kept:
    """Of the episodes that are kept, the frames of the pairs, and the labels."""
    parts, drawing = study.settings[environment], family(study.settings[environment].environment)
    steps, seeds = parts.training.explore_steps, parts.pairs.seeds
    gathered = [seed for seed in seeds if not files.explore(environment, study.collector, seed).events.exists()]
    yield "explore", len(gathered) * steps * (seen.image_bytes + (0 if drawing.renders_states else seen.annotator_bytes)), 0
    for run in (run for run in study.exploration_runs() if run[0] == environment and study.last_generation(*run[:2]) > 1):
        for number in generations(study, "explore", *run[:2]):
            played = 0 if files.explore(*run, number).events.exists() else run_steps(study, "explore", *run[:2], number)
            yield "explore", played * (seen.image_bytes + seen.annotator_bytes), 0
    for generation in range(1, 1 + len(study.generation_ends(environment))):
        pairs = study.settings_of(environment, generation).pairs.number
        for own in {study.own_pairs(name, generation) for name in study.annotators_of(environment)}:
            if not files.pairs(environment, generation, own).pairs.exists():
                frames = (2 * pairs if own else min(2 * pairs, steps * len(seeds))) * len(drawing.annotator_views)
                yield "own-pairs" if own else "pairs", frames * seen.annotator_bytes + pairs * ROW_BYTES, 0
        labels = [files.labels(environment, name, generation).labels for name in study.annotators_of(environment)]
        yield "annotate", 2 * sum(not path.exists() for path in labels) * pairs * ROW_BYTES, 0


def estimated(study_path: Path, environment: str, annotator: str, generation: str = "1") -> list[str]:
    """What asking an annotator about all pairs would take, in lines for people: those there are, or as many as the study asks for.

    Raises:
        SenseiError: a name is not in the study, or a file is damaged.
    """
    from sensei.annotators.estimate import estimate_lines

    study, files = read_study(study_path), Layout.of(study_path)
    check_names(study, study_path, Job(environment=environment, annotator=annotator, generation=generation))
    made = files.pairs(environment, generation, study.own_pairs(annotator, generation))
    drawn = (made.pairs, made.frames) if made.pairs.exists() and made.frames.exists() else (None, None)
    for path in filter(None, drawn):
        verified(path)
    return estimate_lines(study, environment, annotator, *drawn, files.ledger, int(generation))
