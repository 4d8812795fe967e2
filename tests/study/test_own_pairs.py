"""An annotator with episodes of its own is asked about pairs of these, in views of its own, and shares everything else with the others."""

from pathlib import Path

import numpy as np
import pytest

from sensei.core.errors import SenseiError
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study, read_layers
from sensei.study.stage import Job
from sensei.study.stages import STAGES

FILES = Layout("results/data_laptop")


def job(annotator: str, **more: str) -> Job:
    return Job(environment="robodesk", annotator=annotator, shard="0", **more)


@pytest.fixture(scope="module")
def study():
    return load_study(read_layers([CONFIG_FOLDER / "ablations" / "data_laptop.yaml"], {"generations": 2}), "the test")


def test_whose_pairs_an_annotator_is_asked_about(study):
    own = FILES.labels("robodesk", "oracle_ceeus").folder / "pairs.parquet"
    for stage in ("annotate", "merge"):
        assert STAGES[stage].inputs(study, FILES, job("oracle"))["pairs"] == FILES.pairs("robodesk").pairs
        assert STAGES[stage].inputs(study, FILES, job("oracle_ceeus"))["pairs"] == own
        assert STAGES[stage].inputs(study, FILES, job("oracle_ceeus", generation="2"))["pairs"] == FILES.pairs("robodesk", 2).pairs
    assert STAGES["own-pairs"].outputs(FILES, job("oracle_ceeus"))["pairs"] == own
    learned = STAGES["distil"].inputs(study, FILES, job("oracle_ceeus", generation="2"))
    assert learned["pairs"] == [own, FILES.pairs("robodesk", 2).pairs]
    assert len(learned["pairs"]) == len(learned["labels"]) == len(learned["frames"])


def test_the_files_of_the_folder_are_inputs_and_its_place_is_no_setting(study, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = Path("data/robodesk_ceeus")
    (folder / "below").mkdir(parents=True)
    for name in ("b.npz", "below/a.npz", ".hidden.npz"):
        np.savez(folder / name, state=np.zeros((2, 1), np.float32), state_names=["x"])
    (folder / "README.md").write_text("whence they come")
    assert STAGES["own-pairs"].inputs(study, FILES, job("oracle_ceeus"))["episodes"] == [folder / "b.npz", folder / "below" / "a.npz"]
    assert STAGES["annotate"].settings(study, job("oracle_ceeus"))["annotator"] == {"kind": "oracle", "nearer": False}
    with pytest.raises(SenseiError, match="annotator oracle has no `episodes`"):
        STAGES["own-pairs"].inputs(study, FILES, job("oracle"))


def test_the_views_of_an_annotator_take_the_place_of_the_studys(study):
    views = {name: STAGES["annotate"].settings(study, job(name))["asking"]["views"] for name in study.annotators}
    assert views == {
        "gpt-4o": ["right", "left"],
        "gpt-4-turbo_right": ["right"],
        "oracle": ["right", "left"],
        "oracle_ceeus": ["right", "left"],
    }
    assert study.settings["robodesk"].labels.views == ["right", "left"]
