"""Random network distillation: what was seen grows old, rewards have one scale, and a resumed run is the undisturbed one."""

import numpy as np
import pytest
import torch
import yaml
from fakes.interrupted import Interrupted, count_steps
from fakes.toys import lines, toy_study

from sensei.agents.rnd import DISCOUNT, RNDAgent, RunningRNDAgent
from sensei.core.errors import SenseiError
from sensei.replay.step import Spaces
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.training.runs import explore

WORKERS = 4


def made(kind=RNDAgent, flags=1, seed=0):
    study = toy_study("toy_keydoor", training={"workers": WORKERS})
    settings, method = study.settings["toy_keydoor"], study.methods["random"]
    return kind(Spaces(flags, 4, True), settings, method, study.weights("toy_keydoor", "random"), "explore", seed)


def rows(rng, flags=1):
    """One picture for all workers, at any brightness."""
    image = np.repeat(rng.integers(0, 256, (1, 16, 16, 3), dtype=np.uint8), WORKERS, 0)
    ends = dict.fromkeys(("is_first", "is_last", "is_terminal"), np.zeros(WORKERS, bool))
    return {"image": image, "flags": np.zeros((WORKERS, flags), np.float32), "reward": np.ones(WORKERS, np.float32), **ends}


@pytest.mark.parametrize("kind", [RNDAgent, RunningRNDAgent])
@pytest.mark.parametrize("flags", [0, 1])
def test_what_was_seen_is_less_novel_than_what_was_not(kind, flags):
    agent, rng = made(kind, flags), np.random.default_rng(0)
    seen, other = [rows(rng, flags) for _ in range(4)], rows(rng, flags)
    before = np.mean([agent.novelty(row) for row in seen])
    for step in range(64 * 4):
        row = seen[step % 4]
        _, state = agent.policy(row, None)
        agent.follow(row, state, seen[(step + 1) % 4], seen[(step + 1) % 4])
        if agent.ready:
            metrics = agent.update()
    after, new = np.mean([agent.novelty(row) for row in seen]), agent.novelty(other).mean()
    assert after < 0.5 * before and after < 0.5 * new, (before, after, new)
    assert metrics["loss/predictor"] > 0 and metrics["explore/intrinsic_reward"] > 0


def test_rewards_are_divided_by_the_running_deviation_of_their_discounted_sums():
    """Against the definition of Burda et al., over all sums so far."""
    agent, rng = made(), np.random.default_rng(0)
    sums, every = np.zeros(WORKERS), []
    for _ in range(200):
        novelty = rng.exponential(3.0, WORKERS)
        scaled = agent.scaled(novelty)
        sums = DISCOUNT * sums + novelty
        every.append(sums)
    assert scaled == pytest.approx(novelty / np.std(every), rel=0.02), "the library begins with a count of 1e-4"


def test_ends_of_episodes_do_not_end_the_return_and_the_environment_pays_nothing():
    agent, rng = made(), np.random.default_rng(0)
    for step in range(64):
        row = rows(rng)
        _, state = agent.policy(row, None)
        ended = rows(rng) | {"is_last": np.full(WORKERS, step == 30), "is_terminal": np.full(WORKERS, step == 30)}
        agent.follow(row | {"is_first": np.full(WORKERS, step == 31)}, state, ended, rows(rng))
    assert not agent.rollout.episode_starts.any()
    rewards, values, advantages = agent.rollout.rewards, agent.rollout.values, agent.rollout.advantages
    assert (rewards != 1).all() and (rewards > 0).all()
    expected = rewards[30] + DISCOUNT * values[31] - values[30] + DISCOUNT * 0.8 * advantages[31]
    assert advantages[30] == pytest.approx(expected, rel=1e-3, abs=1e-5)


def test_only_the_predictor_learns():
    agent, rng = made(), np.random.default_rng(0)
    target, predictor = ([weight.clone() for weight in part.parameters()] for part in (agent.target, agent.predictor))
    while not agent.ready:
        _, state = agent.policy(rows(rng), None)
        agent.follow(rows(rng), state, rows(rng), rows(rng))
    agent.update()
    assert all(torch.equal(*pair) for pair in zip(target, agent.target.parameters(), strict=True))
    assert not any(torch.equal(*pair) for pair in zip(predictor, agent.predictor.parameters(), strict=True))
    assert made().target.dense[0].weight.equal(made().target.dense[0].weight)
    assert not made().target.dense[0].weight.equal(made(seed=1).target.dense[0].weight)


def small():
    training = {"workers": WORKERS, "explore_steps": 700, "checkpoint_every": 100, "log_every": 50}
    study = toy_study("toy_keydoor", training=training)
    return study.model_copy(update={"methods": study.methods | {"rnd": study.methods["random"].model_copy(update={"algorithm": "rnd"})}})


def test_an_interrupted_exploration_equals_the_uninterrupted_one(tmp_path):
    explore(small(), "toy_keydoor", "rnd", 0, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, stop_at=100)
        explore(small(), "toy_keydoor", "rnd", 0, tmp_path / "resumed")
    assert (tmp_path / "resumed" / "checkpoint" / "state.pt").exists()
    explore(small(), "toy_keydoor", "rnd", 0, tmp_path / "resumed")
    for name in ("metrics.jsonl", "events.parquet", "agent.pt"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes(), name
    assert any("loss/predictor" in line for line in lines(tmp_path / "whole"))


def test_it_explores_and_learns_no_task():
    with pytest.raises(SenseiError, match="rnd"):
        load_study(yaml.safe_load((CONFIG_FOLDER / "smoke.yaml").read_text()) | {"learn": ["rnd"]})
