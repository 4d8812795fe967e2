"""The whole of an agent at work: from a fixed seed it must learn a toy, and the ensemble must know what it has not seen.

The toy is KeyDoor with 20 steps an episode: a random policy finds key and door in about a tenth of the episodes.
"""

import numpy as np
import pytest
import torch
from fakes.toys import scores, toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.core.rng import generator
from sensei.envs.registry import make
from sensei.replay.buffer import Replay
from sensei.replay.step import Spaces
from sensei.training.runs import learn

SOLVED, AT_FIRST = 0.75, 0.4

DREAMER = {
    "world_model": {"learning_rate": 2e-3},
    "behaviour": {"horizon": 8, "learning_rate": 1e-3, "discount": 0.95, "entropy": 3e-3},
    "training": {
        "learn_steps": 5000,
        "workers": 4,
        "batch_size": 16,
        "batch_length": 8,
        "train_ratio": 40,
        "prefill": 500,
        "evaluate_every": 500,
        "evaluate_episodes": 16,
        "log_every": 500,
        "checkpoint_every": 100_000,
    },
}
PPO = {
    "world_model": {"image_size": 40},
    "training": {
        "learn_steps": 24_000,
        "workers": 4,
        "evaluate_every": 2000,
        "evaluate_episodes": 16,
        "log_every": 2000,
        "checkpoint_every": 100_000,
    },
}


@pytest.mark.slow
@pytest.mark.parametrize(("method", "changes", "seed"), [("dreamerv3", DREAMER, 1), ("ppo", PPO, 0)])
def test_the_agent_learns_to_fetch_the_key_and_open_the_door(method, changes, seed, tmp_path):
    learn(toy_study("toy_keydoor", episode_steps=20, **changes), "toy_keydoor", "keydoor", method, seed, tmp_path)
    returns = scores(tmp_path)
    assert returns[0] < AT_FIRST, returns
    assert np.mean(returns[-2:]) > SOLVED, returns


@pytest.mark.slow
def test_disagreement_falls_with_data_and_is_higher_for_what_was_never_tried(tmp_path):
    """Trained on three of KeyDoor's four moves, the ensemble disagrees about the fourth."""
    agent, replay = _explorer(), _moves(tmp_path, tried=3)
    rng = generator(0, "batches")
    before = _disagreement(agent, replay.sample(16, 8, generator(0, "probe")))
    for _ in range(250):
        agent.update(replay.sample(16, 8, rng))
    after = _disagreement(agent, replay.sample(16, 8, generator(0, "probe")))
    assert after[:3].mean() < 0.5 * before[:3].mean(), (before, after)
    assert after[3] > 1.2 * after[:3].max(), (before, after)


def _explorer() -> DreamerAgent:
    study = toy_study("toy_keydoor", world_model={"learning_rate": 1e-3}, ensemble={"members": 8, "learning_rate": 1e-3})
    weights = study.weights("toy_keydoor", "plan2explore")
    return DreamerAgent(Spaces(1, 4, True), study.settings["toy_keydoor"], study.methods["plan2explore"], weights, "explore", seed=0)


def _moves(folder, tried: int) -> Replay:
    """1500 steps of a policy that draws among the first `tried` moves."""
    config = toy_study("toy_keydoor").settings["toy_keydoor"].environment
    env, rng = make(config, 16), generator(0, "moves")
    spec = {"image": ((16, 16, 3), np.uint8), "flags": ((1,), np.float32), "action": ((), np.int64)}
    spec |= dict.fromkeys(("reward", "semantic"), ((), np.float32)) | {"task_rewards": ((0,), np.float32)}
    spec |= dict.fromkeys(("is_first", "is_terminal"), ((), bool))
    replay = Replay(folder, spec, capacity=2000, workers=1, slack=1)
    observation, first, ended, terminated, reward = env.reset(seed=0)[0], True, False, False, 0.0
    for _ in range(1500):
        action = int(rng.integers(tried))
        step = {
            "action": action,
            "reward": reward,
            "semantic": 0.0,
            "task_rewards": np.zeros(0),
            "is_first": first,
            "is_terminal": terminated,
            **observation,
        }
        replay.add({name: np.asarray(value)[None] for name, value in step.items()})
        if ended:
            observation, first, ended, terminated, reward = env.reset()[0], True, False, False, 0.0
        else:
            observation, reward, terminated, truncated, _ = env.step(action)
            first, ended = False, terminated or truncated
    return replay


@torch.no_grad()
def _disagreement(agent: DreamerAgent, arrays: dict[str, np.ndarray]) -> np.ndarray:
    """Mean disagreement about each of the four moves, in the states of a batch."""
    batch = agent.batch(arrays)
    uniform = torch.rand((*batch.is_first.shape, agent.world_model.size.stoch), generator=torch.Generator().manual_seed(0))
    observed = agent.world_model.observe(batch, uniform)
    states = observed.deter.flatten(0, 1), observed.index.flatten(0, 1)
    moves = torch.eye(4)
    return np.array(
        [
            float(agent.sources["disagreement"].ensemble.disagreement(*states, moves[[move]].expand(len(states[0]), -1), "variance").mean())
            for move in range(4)
        ]
    )
