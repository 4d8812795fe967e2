"""One turn: what runs beside what, whose weights act, and that measuring changes nothing."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.interrupted import Interrupted, count_steps
from fakes.toys import agent_tensors, lines, toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.core.rng import generator
from sensei.envs.vector.environment import VectorEnvironment
from sensei.replay.buffer import Replay
from sensei.replay.feed import Feed
from sensei.training.logger import Logger
from sensei.training.loop import Loop, opened
from sensei.training.run import Run, exploration_run
from sensei.training.runs import explore

LAG = {"training": {"acting_lag": 1, "explore_steps": 120, "checkpoint_every": 30}}


def run_in(folder: Path, **changes) -> Run:
    return exploration_run(toy_study(**changes), "toy_counting", "plan2explore", 0, folder)


def explore_in(folder: Path, **changes) -> None:
    explore(toy_study(**changes), "toy_counting", "plan2explore", 0, folder)


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


@pytest.mark.parametrize("lag", [0, 1])
def test_the_acting_weights_are_as_old_as_the_lag_says(tmp_path, monkeypatch, lag):
    acting, policy = [], DreamerAgent.policy

    def noted(self, *given, **named):
        acting.append(weights(self))
        return policy(self, *given, **named)

    def weights(agent: DreamerAgent) -> list[torch.Tensor]:
        return [value.clone() for value in agent.state_dict().values()]

    with opened(run_in(tmp_path, training={"acting_lag": lag, "train_ratio": 32})) as loop:
        monkeypatch.setattr(DreamerAgent, "policy", noted)
        learned = [weights(loop.agent) for _ in learning(loop)]
    acting = acting[-len(learned) :]
    differ = [any(not torch.equal(*pair) for pair in zip(old, new, strict=True)) for old, new in zip(learned, learned[1:], strict=False)]
    assert all(differ), "every turn learns"
    for turn in range(1, len(learned)):
        assert all(torch.equal(*pair) for pair in zip(acting[turn], learned[turn - lag], strict=True)), turn


@pytest.mark.slow
def test_a_lagging_run_is_another_run_and_resumes_to_the_same_bytes(tmp_path):
    folders = [tmp_path / name for name in ("whole", "interrupted", "prompt")]
    with pytest.MonkeyPatch.context() as patch:
        calls = count_steps(patch)
        explore_in(folders[0], **LAG)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, stop_at=len(calls) // 2)
        explore_in(folders[1], **LAG)
    explore_in(folders[1], **LAG)
    explore_in(folders[2], training={"explore_steps": 120})
    for name in ("metrics.jsonl", "events.parquet"):
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    ours, resumed = map(agent_tensors, folders[:2])
    assert all(torch.equal(tensor, resumed[name]) for name, tensor in ours.items())
    assert (folders[0] / "metrics.jsonl").read_bytes() != (folders[2] / "metrics.jsonl").read_bytes()


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


def test_the_feed_gives_the_batches_of_the_replay_in_memory_used_again(tmp_path):
    spec = {"image": ((4, 4, 3), np.dtype(np.uint8)), "is_first": ((), np.dtype(bool))}
    replay, rng = Replay(tmp_path, spec, 60, 2, 10), np.random.default_rng(0)
    for step in range(50):
        replay.add({"image": rng.integers(256, size=(2, 4, 4, 3), dtype=np.uint8), "is_first": np.array([step % 7 == 0, step % 5 == 0])})
    feed, places = Feed(replay, generator(0, "replay"), 3, 9, "cpu"), generator(0, "replay")
    memory = set()
    for _ in range(5):
        given, wanted = feed.sample(), replay.sample(3, 9, places)
        assert all(np.array_equal(given[name], wanted[name]) for name in spec)
        memory.add(given["image"].ctypes.data)
    assert len(memory) == 1


def test_means_of_metrics_that_come_together_or_not(tmp_path):
    logger = Logger(tmp_path, tmp_path, every=10, total=20, title="t", tensorboard=False)
    logger.add({})
    for value in (1.0, 2.0, 4.5):
        logger.add({"a": torch.tensor(value), "b": torch.tensor(-value)})
    logger.add({"c": torch.tensor(8.0)})
    again = Logger(tmp_path, tmp_path, every=10, total=20, title="t", tensorboard=False)
    again.restore(logger.checkpoint(), step=5, updates=4)
    for each in (logger, again):
        each.advance(10, 4, {})
        each.close()
        assert lines(tmp_path)[-1] == {"step": 10, "a": 2.5, "b": -2.5, "c": 8.0, "updates": 4.0}
    assert len(lines(tmp_path)) == 2
