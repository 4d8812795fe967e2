"""Whole runs on a toy: determinism, kill -9 and resume, refusals, and what a task run takes over from exploration."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes.toys import agent_tensors, toy_study
from helpers import ROOT

from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label
from sensei.replay.episodes import load_episode
from sensei.reward.model import RewardModel, save_model
from sensei.study.models.reward import RewardModelConfig
from sensei.training.loop import Loop
from sensei.training.runs import explore, learn

TOY = "toy_keydoor"
KILLER = """
import os, signal, sys
from pathlib import Path
import torch
sys.path.insert(0, sys.argv[1])
torch.set_num_threads(1)
from fakes.toys import toy_study
from sensei.training import runs
from sensei.training.loop import Loop
stage, method, folder, step = sys.argv[2], sys.argv[3], Path(sys.argv[4]), int(sys.argv[5])
turn = Loop.turn
def deadly(self):
    turn(self)
    if self.step >= step:
        os.kill(os.getpid(), signal.SIGKILL)
Loop.turn = deadly
study = toy_study("toy_keydoor", 20)
if stage == "explore":
    runs.explore(study, "toy_keydoor", method, 0, folder, keep_episodes=True)
else:
    runs.learn(study, "toy_keydoor", "keydoor", method, 0, folder)
"""


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)


def killed_at(stage: str, method: str, folder: Path, step: int) -> None:
    """Start a run in a process of its own that is killed after the turn that reaches `step`."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", KILLER, str(ROOT / "tests"), stage, method, str(folder), str(step)]
    finished = subprocess.run(command, check=False, env=environment, capture_output=True, timeout=120)
    assert finished.returncode == -signal.SIGKILL, finished.stderr.decode()[-2000:]
    assert not (folder / "agent.pt").exists()


def assert_same_run(one: Path, other: Path) -> None:
    """All outputs equal, to the bit."""
    assert (one / "metrics.jsonl").read_bytes() == (other / "metrics.jsonl").read_bytes()
    pd.testing.assert_frame_equal(pd.read_parquet(one / "events.parquet"), pd.read_parquet(other / "events.parquet"))
    mine, theirs = agent_tensors(one), agent_tensors(other)
    assert mine.keys() == theirs.keys()
    assert all(torch.equal(mine[name], theirs[name]) for name in mine)
    names = sorted(path.name for path in (one / "episodes").glob("*"))
    assert names == sorted(path.name for path in (other / "episodes").glob("*"))
    for name in names:
        first, second = load_episode(one / "episodes" / name), load_episode(other / "episodes" / name)
        assert all(np.array_equal(first[key], second[key]) for key in first)


def test_one_seed_gives_one_run_and_another_seed_another(tmp_path):
    study = toy_study(TOY, 20)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        explore(study, TOY, "plan2explore", seed, tmp_path / name, keep_episodes=True)
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert (tmp_path / "a" / "metrics.jsonl").read_bytes() != (tmp_path / "c" / "metrics.jsonl").read_bytes()
    assert not (tmp_path / "a" / "checkpoint").exists()
    assert (tmp_path / "a" / "video.mp4").stat().st_size > 0


@pytest.mark.parametrize(
    ("stage", "method", "step"), [("explore", "plan2explore", 170), ("explore", "random", 130), ("learn", "dreamerv3", 201)]
)
def test_killed_and_resumed_equals_uninterrupted(stage, method, step, tmp_path):
    killed_at(stage, method, tmp_path / "killed", step)
    saved = (tmp_path / "killed" / "checkpoint" / "state.pt").stat().st_mtime_ns
    study = toy_study(TOY, 20)
    for name in ("killed", "whole"):
        if stage == "explore":
            explore(study, TOY, method, 0, tmp_path / name, keep_episodes=True)
        else:
            learn(study, TOY, "keydoor", method, 0, tmp_path / name)
    assert saved
    assert_same_run(tmp_path / "killed", tmp_path / "whole")


def test_a_resumed_run_really_starts_from_its_checkpoint(tmp_path, monkeypatch):
    killed_at("explore", "plan2explore", tmp_path, 170)
    resumed = []
    restore = Loop._restore
    monkeypatch.setattr(Loop, "_restore", lambda self, state: (resumed.append(state["step"]), restore(self, state)))
    explore(toy_study(TOY, 20), TOY, "plan2explore", 0, tmp_path, keep_episodes=True)
    assert len(resumed) == 1
    assert 60 <= resumed[0] <= 170


def test_a_checkpoint_of_another_configuration_is_refused_with_the_keys(tmp_path):
    killed_at("explore", "plan2explore", tmp_path, 130)
    changed = toy_study(TOY, 20, behaviour={"horizon": 4})
    with pytest.raises(SenseiError, match=r"settings\.behaviour\.horizon \(5 -> 4\)"):
        explore(changed, TOY, "plan2explore", 0, tmp_path, keep_episodes=True)


def test_a_damaged_checkpoint_is_named(tmp_path):
    killed_at("explore", "plan2explore", tmp_path, 130)
    state = tmp_path / "checkpoint" / "state.pt"
    state.write_bytes(state.read_bytes()[: state.stat().st_size // 2])
    with pytest.raises(SenseiError, match=r"state\.pt is damaged"):
        explore(toy_study(TOY, 20), TOY, "plan2explore", 0, tmp_path, keep_episodes=True)


def run_with_rewards(folder: Path, factor: float, monkeypatch, stage: str) -> dict[str, torch.Tensor]:
    """Tensors of a run in which every extrinsic reward that the agent sees is 1 + factor times the step parity."""
    observe = Loop._observe

    def altered(self, rows):
        rows = {**rows, "reward": np.float32(factor) * (1 + np.arange(len(rows["reward"]), dtype=np.float32))}
        observe(self, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Loop, "_observe", altered)
        study = toy_study(TOY, 20)
        if stage == "explore":
            explore(study, TOY, "plan2explore", 0, folder)
        else:
            learn(study, TOY, "keydoor", "dreamerv3", 0, folder)
    return agent_tensors(folder)


def test_extrinsic_rewards_leave_no_trace_in_what_explores(tmp_path, monkeypatch):
    one = run_with_rewards(tmp_path / "one", 0.0, monkeypatch, "explore")
    other = run_with_rewards(tmp_path / "other", 3.0, monkeypatch, "explore")
    weights = [name for name in one if name.startswith("/weights/")]
    task = ("/weights/task.", "/weights/world_model.reward_heads.extrinsic.")
    for name in weights:
        if not name.startswith(task):
            assert torch.equal(one[name], other[name]), name
    assert any(name.startswith("/weights/world_model.rssm") for name in weights)
    assert any(name.startswith("/weights/exploration.actor") for name in weights)
    head = "/weights/world_model.reward_heads.extrinsic.output"
    assert not torch.equal(one[head], other[head])


def test_in_a_task_run_the_reward_shapes_the_world_model(tmp_path, monkeypatch):
    one = run_with_rewards(tmp_path / "one", 0.0, monkeypatch, "learn")
    other = run_with_rewards(tmp_path / "other", 3.0, monkeypatch, "learn")
    name = "/weights/world_model.rssm.gates.weight"
    assert not torch.equal(one[name], other[name])


def test_a_semantic_reward_model_is_scored_and_summed_per_episode(tmp_path):
    save_model(tmp_path / "reward.safetensors", RewardModel((80, 80, 3), 1, RewardModelConfig(architecture="small")))
    explore(toy_study(TOY, 20), TOY, "sensei", 0, tmp_path / "run", tmp_path / "reward.safetensors")
    episodes = pd.read_parquet(tmp_path / "run" / "events.parquet")
    assert np.isfinite(episodes["semantic_return"]).all()
    assert episodes["semantic_return"].abs().sum() > 0
    assert episodes["length"].sum() >= 240


def test_a_method_that_needs_a_reward_model_or_an_explored_agent_says_so(tmp_path):
    study = toy_study(TOY, 20)
    with pytest.raises(SenseiError, match="has no reward model"):
        explore(study, TOY, "sensei", 0, tmp_path)
    with pytest.raises(SenseiError, match="starts from an explored agent"):
        learn(study, TOY, "keydoor", "plan2explore", 0, tmp_path)


@pytest.mark.parametrize("behaviour", ["keep", "fresh"])
def test_a_task_run_takes_over_the_explored_agent(behaviour, tmp_path):
    study = toy_study(TOY, 20, downstream={"behaviour": behaviour}, training={"learn_steps": 1})  # over before the first update
    explore(study, TOY, "plan2explore", 0, tmp_path / "explored")
    learn(study, TOY, "keydoor", "plan2explore", 0, tmp_path / "task", tmp_path / "explored" / "agent.pt")
    explored, begun = agent_tensors(tmp_path / "explored"), agent_tensors(tmp_path / "task")
    kept = {name: torch.equal(value, explored[name]) for name, value in begun.items() if name.startswith("/weights/")}
    assert all(same for name, same in kept.items() if name.startswith("/weights/world_model."))
    assert not any(name.startswith(("/weights/exploration.", "/weights/ensemble.")) for name in kept)
    actor = [same for name, same in kept.items() if name.startswith("/weights/task.actor.head.from")]
    assert all(actor) if behaviour == "keep" else not any(actor)
    moments = [name for name in begun if name.startswith("/optimisers/world_model/") and "exp_avg" in name]
    assert moments
    assert all(torch.equal(begun[name], explored[name]) for name in moments)


def test_an_agent_of_another_environment_is_refused(tmp_path):
    explore(toy_study("toy_counting", 20), "toy_counting", "plan2explore", 0, tmp_path / "explored")
    with pytest.raises(SenseiError, match="belongs to another environment"):
        learn(toy_study(TOY, 20), TOY, "keydoor", "plan2explore", 0, tmp_path / "task", tmp_path / "explored" / "agent.pt")


def test_label_coding_is_the_published_one():
    assert [label.value for label in (Label.FIRST, Label.SECOND, Label.TIE, Label.UNKNOWN)] == [0, 1, 2, 3]
