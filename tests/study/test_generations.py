"""Several generations of reward models: labels of what SENSEI has seen, a model of all of them, and the run that goes on with it."""

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.small_study import CONTENT, ENVIRONMENT

from sensei.core.errors import SenseiError
from sensei.reward.scorer import RewardScorer
from sensei.study.folder import record_study
from sensei.study.graph import work
from sensei.study.layout import Layout
from sensei.study.load import load_study
from sensei.study.models.study import Study
from sensei.study.stage import carry_out

TWO = CONTENT | {"seeds": [0], "annotators": ["oracle"], "figures": ["interactions", "reward_model"], "generations": 2, "relabel_pairs": 40}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Study, Layout]:
    """The small study in two generations, every job of it carried out."""
    study, files = load_study(TWO, "the test"), Layout(tmp_path_factory.mktemp("generations") / "results" / "small")
    record_study(study, files.study)
    for one in work(study, files):
        carry_out(one.stage, study, files.study, one.job)
    return study, files


def test_the_jobs_follow_from_the_axes(finished):
    study, files = finished
    jobs = Counter((one.stage.name, one.job.generation) for one in work(study, files))
    again = {"collect": 1, "pairs": 1, "annotate": 2, "merge": 1, "trust": 1, "distil": 1}
    assert jobs == Counter(
        {("explore", "1"): 2, ("explore", "2"): 1, ("learn", "1"): 1}
        | {(name, generation): count for name, count in again.items() for generation in "12"}
        | {(name, "1"): count for name, count in {"tabulate": 1, "figure": 2, "tables": 1, "report": 1}.items()}
    )
