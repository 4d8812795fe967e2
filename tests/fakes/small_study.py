"""A study of a toy, small enough to be carried out whole by a test, stage after stage, in one process."""

from collections.abc import Iterator
from pathlib import Path

from fakes.toys import SMALL
from sensei.study.folder import record_study
from sensei.study.layout import Layout
from sensei.study.load import load_study
from sensei.study.models.study import Study
from sensei.study.slices import jobs
from sensei.study.stage import Job, Stage, carry_out
from sensei.study.stages import STAGES

ENVIRONMENT, ANNOTATOR = "toy_keydoor", "oracle"
CONTENT = {
    "study": "small",
    "seeds": [0, 1],
    "environments": [ENVIRONMENT],
    "explore": ["plan2explore", "sensei"],
    "learn": ["sensei"],
    "annotators": [ANNOTATOR, "noisy_oracle"],
    "figures": ["interactions", "learn", "semantic_reward"],
    **SMALL,
    "pairs": {"number": 100, "shards": 2, "seeds": [0]},
    "labels": {"largest_order_bias": None, "smallest_swap_consistency": None, "smallest_agreement": None},
    "reward": {"architecture": "small", "epochs": 2},
}


def in_order(study: Study) -> Iterator[tuple[Stage, Job]]:
    """Every job, none before those that it waits for."""
    every = {name: jobs(stage, study) for name, stage in STAGES.items() if stage.needs_study and name not in ("caption-clip", "own-pairs")}
    of_collector = [
        Job(environment=ENVIRONMENT, seed=str(seed), method=study.collector) for seed in study.settings[ENVIRONMENT].pairs.seeds
    ]
    every["collect"] = of_collector
    first = [job for job in every["explore"] if not study.methods[job.method].needs_reward_model]
    rest = [job for job in every.pop("explore") if job not in first]
    for name, some in {
        "explore": first,
        **{name: every.pop(name) for name in ("collect", "pairs", "annotate", "merge", "trust", "distil")},
    }.items():
        yield from ((STAGES[name], job) for job in some)
    yield from ((STAGES["explore"], job) for job in rest)
    yield from ((STAGES[name], job) for name, some in every.items() for job in some)


def finish(folder: Path) -> tuple[Study, Layout]:
    """Carry out every job of the study in `folder`/results."""
    study, files = load_study(CONTENT, "the small study"), Layout(folder / "results" / "small")
    record_study(study, files.study)
    for stage, job in in_order(study):
        carry_out(stage, study, files.study, job)
    return study, files
