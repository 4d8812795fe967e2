"""A small study of a real room of NetHack, up to its pairs, and a person among its annotators."""

from pathlib import Path

from sensei.study.folder import record_study
from sensei.study.layout import Layout
from sensei.study.load import load_study
from sensei.study.models.study import Study
from sensei.study.slices import jobs
from sensei.study.stage import Job, carry_out
from sensei.study.stages import STAGES

ENVIRONMENT, PERSON = "minihack_keyroom_s5", "person"
CONTENT = {
    "study": "labelled",
    "seeds": [0],
    "environments": [ENVIRONMENT],
    "explore": ["random"],
    "learn": [],
    "annotators": ["oracle", PERSON],
    "collector": "random",
    "figures": ["labels"],
    "world_model": {"size": "XS", "image_size": 16},
    "training": {"explore_steps": 1500, "workers": 1, "prefill": 20, "log_every": 100, "device": "cpu"},
    "pairs": {"number": 12, "shards": 2, "seeds": [0]},
    "labels": {"both_orders": 0.3, "smallest_agreement": None},
    "reward": {"architecture": "small", "epochs": 2, "batch_size": 8},
}


def begin(folder: Path, **changes: object) -> tuple[Study, Layout]:
    """The study in `folder`/results with its pairs."""
    study, files = load_study(CONTENT | changes, "the labelled study"), Layout(folder / "results" / "labelled")
    record_study(study, files.study)
    carry_out(STAGES["explore"], study, files.study, Job(environment=ENVIRONMENT, method="random", seed="0"))
    for name, job in (("collect", Job(environment=ENVIRONMENT, seed="0")), ("pairs", Job(environment=ENVIRONMENT))):
        carry_out(STAGES[name], study, files.study, job)
    return study, files


def label(study: Study, files: Layout, annotator: str) -> None:
    """Everything from an annotator's shards to the verdict about its labels."""
    for name in ("annotate", "merge", "trust"):
        for job in jobs(STAGES[name], study):
            if job.annotator == annotator:
                carry_out(STAGES[name], study, files.study, job)
