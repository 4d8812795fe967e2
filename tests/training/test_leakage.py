"""What shapes what: rewards do not reach the model while it explores, the ensemble never does."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import torch
from fakes.toys import agent_tensors, toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.replay.step import Spaces
from sensei.training.runs import explore

KEYDOOR = Spaces(flags=1, actions=4, discrete=True, tasks=2)


def make_agent(phase: str, method: str = "plan2explore", **changes) -> DreamerAgent:
    study = toy_study("toy_keydoor", **changes)
    return DreamerAgent(KEYDOOR, study.settings["toy_keydoor"], study.methods[method], study.weights("toy_keydoor", method), phase, seed=0)


def batch(seed: int) -> dict[str, np.ndarray]:
    """A replay batch of noise."""
    rng, shape = np.random.default_rng(seed), (4, 6)
    return {
        "image": rng.integers(0, 256, (*shape, 16, 16, 3), dtype=np.uint8),
        "flags": rng.integers(0, 2, (*shape, 1)).astype(np.float32),
        "action": rng.integers(0, 4, shape),
        "reward": rng.normal(size=shape).astype(np.float32),
        "semantic": rng.normal(size=shape).astype(np.float32),
        "task_rewards": rng.normal(size=(*shape, 2)).astype(np.float32),
        "is_first": rng.random(shape) < 0.2,
        "is_terminal": rng.random(shape) < 0.1,
    }


def learn_from(agent: DreamerAgent, reward: str = "reward", factor: float = 1.0) -> dict[str, torch.Tensor]:
    """All weights and buffers after five updates, with one of the rewards multiplied."""
    for seed in range(5):
        arrays = batch(seed)
        agent.update({**arrays, reward: (factor * arrays[reward]).astype(np.float32)})
    return {name: value.clone() for name, value in agent.state_dict().items()}


def differing(weights: dict[str, torch.Tensor], others: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, value in weights.items() if not torch.equal(value, others[name])}


def all_below(names: Iterable[str], prefixes: tuple[str, ...]) -> bool:
    return all(name.startswith(prefixes) for name in names)


@pytest.mark.parametrize("clip", [1000.0, 0.01], ids=["gradients as they are", "gradients clipped"])
def test_rewards_of_all_tasks_reach_their_heads_alone(clip):
    weights, others = (
        learn_from(make_agent("explore", "plan2explore", world_model={"clip": clip}), "task_rewards", factor) for factor in (1, -50)
    )
    changed = differing(weights, others)
    assert changed
    assert all_below(changed, ("world_model.task_heads.",))


@pytest.mark.parametrize("clip", [1000.0, 0.01], ids=["gradients as they are", "gradients clipped"])
@pytest.mark.parametrize("method", ["plan2explore", "sensei"])
def test_task_rewards_do_not_leak_into_exploration(method, clip):
    """Only the head that predicts them and the task behaviour, which acts in imagination alone, may notice."""
    weights, others = (learn_from(make_agent("explore", method, world_model={"clip": clip}), factor=factor) for factor in (1, -50))
    changed = differing(weights, others)
    assert any(name.startswith("world_model.reward_heads.extrinsic") for name in changed)
    assert any(name.startswith("task.actor") for name in changed)
    assert all_below(changed, ("world_model.reward_heads.extrinsic", "task."))


@pytest.mark.parametrize("phase", ["explore", "learn"])
def test_semantic_rewards_never_shape_the_model(phase):
    changes = {"world_model": {"clip": 0.01}}
    changed = differing(*(learn_from(make_agent(phase, "sensei", **changes), "semantic", factor) for factor in (1, -50)))
    assert any(name.startswith("world_model.reward_heads.semantic") for name in changed)
    assert any(name.startswith("exploration.actor") for name in changed) == (phase == "explore")
    assert all_below(changed, ("world_model.reward_heads.semantic", "exploration."))


def test_task_rewards_shape_the_model_in_the_task_phase():
    changed = differing(*(learn_from(make_agent("learn"), factor=factor) for factor in (1, -50)))
    for part in ("image_encoder", "rssm", "image_decoder", "continue_head", "reward_heads.extrinsic"):
        assert any(name.startswith(f"world_model.{part}") for name in changed), part


def test_the_ensemble_teaches_nothing_to_the_model_nor_to_the_task_behaviour():
    """Ten times its step size changes the ensemble and what follows from disagreement, and nothing else."""
    weights, others = (learn_from(make_agent("explore", ensemble={"learning_rate": rate})) for rate in (1e-3, 1e-2))
    changed = differing(weights, others)
    assert all_below(changed, ("sources.disagreement.", "exploration."))
    assert {name.split(".")[0] for name in changed} == {"sources", "exploration"}


def test_whole_exploration_runs_with_other_task_rewards_act_alike(tmp_path, monkeypatch):
    """From the first step to the last: the same actions, so the same events, and the same model; only the rewards replayed differ."""
    update, factor = DreamerAgent.update, {}

    def changed(self, arrays):
        return update(self, {**arrays, "reward": (factor["is"] * arrays["reward"]).astype(np.float32)})

    monkeypatch.setattr(DreamerAgent, "update", changed)
    for factor["is"] in (1, -50):
        study = toy_study("toy_keydoor", episode_steps=20, training={"explore_steps": 480})
        explore(study, "toy_keydoor", "plan2explore", 0, tmp_path / str(factor["is"]))
    one, other = tmp_path / "1", tmp_path / "-50"
    assert (one / "events.parquet").read_bytes() == (other / "events.parquet").read_bytes()
    assert _differing_parts(one, other) == {"world_model.reward_heads", "task"}


def _differing_parts(folder: Path, other: Path) -> set[str]:
    """Parts of the agents whose weights differ."""
    weights, others = agent_tensors(folder), agent_tensors(other)
    names = [name.removeprefix("/weights/") for name in differing(weights, others) if name.startswith("/weights/")]
    assert not any(name.startswith("world_model.reward_heads.semantic") for name in names)
    return {".".join(name.split(".")[: 2 if name.startswith("world_model") else 1]) for name in names}
