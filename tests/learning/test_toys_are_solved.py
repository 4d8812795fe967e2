"""Toys that must be learned, by the whole agent, from a fixed seed."""

import numpy as np
import pytest
import torch
from toys import scores, toy_study

from sensei.training.runs import learn

TRAINING = {
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
}
BEHAVIOUR = {"horizon": 8, "learning_rate": 1e-3, "discount": 0.95, "entropy": 3e-3}


@pytest.mark.slow
@pytest.mark.parametrize("method", ["dreamerv3", "ppo"])
def test_key_and_door_is_solved(method, tmp_path):
    """A random policy solves about one episode of 20 steps in eight."""
    torch.set_num_threads(1)
    study = toy_study(
        "toy_keydoor", 20, world_model={"learning_rate": 2e-3}, behaviour=BEHAVIOUR, training={**TRAINING, "ppo_steps": 12_000}
    )
    learn(study, "toy_keydoor", method, 1, tmp_path)
    first, *_, before, last = scores(tmp_path)
    assert first < 0.4
    assert np.mean([before, last]) >= 0.75
