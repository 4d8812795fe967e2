"""The benchmark of world models: on a toy whose key is easily seen it learns where keys are taken, and says so."""

import json

import pytest
import yaml
from fakes.toys import toy_study
from helpers import run_python
from PIL import Image

from sensei.training.runs import learn

STUDY = {
    "study": "toy",
    "seeds": [0],
    "environments": ["toy_keydoor"],
    "explore": ["random"],
    "learn": ["dreamerv3"],
    "annotators": ["oracle"],
    "figures": ["interactions"],
    "world_model": {
        "size": "XS",
        "image_size": 16,
        "learning_rate": 3e-3,
        "image_weight": 10,
        "flag_weight": 5,
        "free_nats": 0,
        "representation_free_nats": 1,
    },
    "training": {"workers": 2, "batch_size": 16, "batch_length": 8, "flag_windows": 0.5, "device": "cpu"},
}
EVENTS = ("key_picked_up", "door_opened", "environment_reward")


def judged(tmp_path, *options: str) -> dict:
    path = tmp_path / "model.json"
    ended = run_python("-m", "sensei", "bench", "model", "--held-out", "1500", *options, "--json", path, cwd=tmp_path)
    assert ended.returncode == 0, ended.stderr
    result = json.loads(path.read_text(encoding="utf-8"))
    assert json.loads(ended.stdout) == result
    assert "flag 0 turns on" in ended.stderr
    assert set(result["judgements"][-1]["signs"]) == {"flag 0 turns on", "reward", "end of the episode", *EVENTS}
    return result


@pytest.mark.slow
def test_it_says_how_a_model_comes_to_know_where_keys_are_taken(tmp_path):
    (tmp_path / "toy.yaml").write_text(yaml.safe_dump(STUDY), encoding="utf-8")
    options = (
        "--env",
        "toy_keydoor",
        "--study",
        "toy.yaml",
        "--steps",
        "4000",
        "--updates",
        "600",
        "--every",
        "300",
        "--pictures",
        "drawn.png",
    )
    first, last = judged(tmp_path, *options)["judgements"]
    assert (first["updates"], last["updates"]) == (300, 600) and last["processor_seconds"] > first["processor_seconds"]
    assert last["reconstruction"] < first["reconstruction"]
    key, reward = last["signs"]["flag 0 turns on"], last["signs"]["reward"]
    assert key["there"] > 0.4 > 0.2 > key["elsewhere"] and key["there"] > 2 * key["other_action"]
    assert key["area"] > max(0.8, first["signs"]["flag 0 turns on"]["area"])
    assert reward["there"] > 0.5 and reward["elsewhere"] < 0.02 and key["seen"] > 0.9
    with Image.open(tmp_path / "drawn.png") as picture:
        assert picture.size[1] == 2 * 16 * 4


@pytest.mark.slow
def test_it_judges_the_model_of_a_run(tmp_path):
    learn(toy_study("toy_keydoor", training={"learn_steps": 60}), "toy_keydoor", "keydoor", "dreamerv3", 0, tmp_path / "run")
    (one,) = judged(tmp_path, "--agent", "run")["judgements"]
    assert one["signs"]["flag 0 turns on"]["number"] > 0 and "updates" not in one
