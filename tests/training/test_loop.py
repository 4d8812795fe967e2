"""One turn: what runs beside what, which weights act, what is scored, and that measuring changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes.toys import toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.core.errors import SenseiError
from sensei.envs.vector.environment import VectorEnvironment
from sensei.reward.model import RewardModel, save_model
from sensei.study.models.reward import RewardModelConfig
from sensei.training.loop import Loop, opened
from sensei.training.run import Run, exploration_run
from sensei.training.runs import explore


def run_in(folder: Path, **changes) -> Run:
    return exploration_run(toy_study(**changes), "toy_counting", "plan2explore", 0, folder)


def learning(loop: Loop) -> Iterator[None]:
    """Turns of a loop up to and from its first update on."""
    loop.begin()
    while loop.updates == 0:
        loop.turn()
    for _ in range(4):
        yield
        loop.turn()


def test_environments_step_while_the_updates_run(tmp_path, monkeypatch):
    order = []

    def noted(owner: type, name: str) -> None:
        method = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda self, *given, **named: (order.append(name), method(self, *given, **named))[1])

    with opened(run_in(tmp_path)) as loop:
        turns = learning(loop)
        next(turns)
        for owner, name in ((VectorEnvironment, "step_async"), (VectorEnvironment, "step_wait"), (DreamerAgent, "update")):
            noted(owner, name)
        for _ in turns:
            pass
    assert "update" in order
    waits = [place for place, name in enumerate(order) if name == "step_wait"]
    assert order[0] == "step_async"
    assert order[-1] == "step_wait"
    assert all(name == "step_async" for name in [order[place + 1] for place in waits[:-1]]), order


def test_the_acting_weights_have_seen_every_update(tmp_path, monkeypatch):
    acting, policy = [], DreamerAgent.policy

    def noted(self, *given, **named):
        acting.append(weights(self))
        return policy(self, *given, **named)

    def weights(agent: DreamerAgent) -> list[torch.Tensor]:
        return [value.clone() for value in agent.state_dict().values()]

    with opened(run_in(tmp_path, training={"train_ratio": 32})) as loop:
        monkeypatch.setattr(DreamerAgent, "policy", noted)
        learned = [weights(loop.agent) for _ in learning(loop)]
    acting = acting[-len(learned) :]
    differ = [any(not torch.equal(*pair) for pair in zip(old, new, strict=True)) for old, new in zip(learned, learned[1:], strict=False)]
    assert all(differ), "every turn learns"
    for turn in range(1, len(learned)):
        assert all(torch.equal(*pair) for pair in zip(acting[turn], learned[turn], strict=True)), turn


def test_measuring_the_parts_changes_nothing_and_covers_the_turn(tmp_path):
    measured = []

    @contextmanager
    def part(name: str) -> Iterator[None]:
        measured.append(name)
        yield

    with opened(run_in(tmp_path / "measured")) as loop, opened(run_in(tmp_path / "plain")) as plain:
        loop.part = part
        for _ in zip(learning(loop), learning(plain), strict=True):
            pass
        assert all(torch.equal(value, plain.agent.state_dict()[name]) for name, value in loop.agent.state_dict().items())
    assert set(measured) == {"act", "store", "environments", "sample", "update", "log", "score", "episodes"}


def test_semantic_rewards_are_scored_and_summed_per_episode(tmp_path):
    save_model(tmp_path / "reward.safetensors", RewardModel((80, 80, 3), 1, RewardModelConfig(architecture="small")))
    explore(toy_study("toy_keydoor", 20), "toy_keydoor", "sensei", 0, tmp_path / "run", tmp_path / "reward.safetensors")
    episodes = pd.read_parquet(tmp_path / "run" / "events.parquet")
    assert np.isfinite(episodes["semantic_return"]).all()
    assert episodes["semantic_return"].abs().sum() > 0
    assert episodes["length"].sum() >= 240


def test_a_method_that_needs_a_reward_model_says_so(tmp_path):
    with pytest.raises(SenseiError, match="has no reward model.*\n.*--reward"):
        explore(toy_study(), "toy_counting", "sensei", 0, tmp_path)
