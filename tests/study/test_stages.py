"""What a stage reads of a study, what a run costs, and which results folders a study accepts."""

import pytest

from sensei.core.errors import SenseiError
from sensei.study.cost import run_memory, run_minutes
from sensei.study.folder import check_folder, record_study
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.study.models.study import OPERATIONAL
from sensei.study.stages import slice_of


def test_slices_hold_what_a_stage_reads_and_no_more():
    study = load_study(CONFIG_FOLDER / "smoke.yaml")
    environment = study.environments[0]
    explore = slice_of(study, "explore", environment, "sensei")
    learn = slice_of(study, "learn", environment, "sensei")
    assert "learn_steps" not in explore["training"] and "explore_steps" in explore["training"]
    assert "explore_steps" not in learn["training"] and "learn_steps" in learn["training"]
    assert not OPERATIONAL & set(explore["training"])
    assert slice_of(study, "explore", environment, "plan2explore")["episodes_of"] == [0]
    assert explore["episodes_of"] == []
    assert set(slice_of(study, "distil", environment, annotator="oracle")) == {"reward"}
    labels = study.settings[environment].labels.model_dump()
    asked, limits = slice_of(study, "annotate", environment, annotator="oracle")["asking"], slice_of(study, "trust", environment)
    assert not set(asked) & set(limits) and asked | limits == labels
    assert slice_of(study, "labels", environment) == {"order": "random"}


def test_cost_follows_from_the_steps():
    smoke, paper = load_study(CONFIG_FOLDER / "smoke.yaml"), load_study(CONFIG_FOLDER / "paper.yaml")
    assert run_minutes(smoke, "learn", smoke.environments[0], "sensei") < 60
    # 500,000 steps are 250,000 updates
    assert run_minutes(paper, "explore", paper.environments[0], "sensei") == int(30 + (1000 + 125_000) / 60)
    assert run_minutes(paper, "learn", paper.environments[0], "ppo") == int(30 + 49e6 * 0.002 / 60)
    assert run_memory(paper, "explore", paper.environments[0], "sensei") == 4000 + 2 * 500_000 * 64 * 64 * 3 // 10**6


@pytest.mark.parametrize(
    "changes, key",
    [
        ({"training": {"learn_steps": 700}}, "learn_steps"),
        ({"reward": {"epochs": 6}}, "reward.epochs"),
        ({"pairs": {"number": 300}}, "pairs.number"),
        ({"collector": "random"}, "collector"),
        ({"annotators": ["noisy_oracle", "oracle"]}, "annotator of"),
        ({"training": {"device": "auto", "tensorboard": True, "checkpoint_every": 50}}, None),
        ({"seeds": [0, 1]}, None),
        ({"explore": ["sensei", "plan2explore", "vlm_motif"]}, None),
        ({"figures": ["interactions"]}, None),
        ({"environments": ["minihack_keyroom_s5", "minihack_keyroom_s15"]}, None),
    ],
)
def test_a_folder_accepts_more_of_the_same_and_nothing_else(changes, key, write_study, tmp_path):
    path = tmp_path / "results" / "study.yaml"
    record_study(load_study(write_study()), path)
    study = load_study(write_study(changes))
    if key is None:
        check_folder(study, path, "my.yaml")
        return
    with pytest.raises(SenseiError) as caught:
        check_folder(study, path, "my.yaml")
    message = str(caught.value)
    assert key in message and str(path) in message and "my.yaml" in message
    assert len(message.splitlines()) <= 3


def test_recording_the_same_study_again_leaves_the_file_alone(write_study, tmp_path):
    path = tmp_path / "study.yaml.recorded"
    study = load_study(write_study())
    record_study(study, path)
    before = path.stat().st_mtime_ns
    record_study(study, path)
    assert path.stat().st_mtime_ns == before
