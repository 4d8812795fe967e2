"""Exploration learns: from a fixed seed SENSEI's policy leaves uniform without collapsing, and brings more and more semantic reward.

The toy is KeyDoor with 20 steps an episode. Its reward model is distilled from pairs, as a study's is, but likes to be beside the door,
key or no key: where the hero is the world model knows within the minute that a test has, where keys are taken it does not.
"""

import numpy as np
import pandas as pd
import pytest
import torch
from fakes.toys import lines, toy_study

from sensei.core.rng import generator
from sensei.envs.registry import make
from sensei.reward.distil import bradley_terry_loss
from sensei.reward.model import RewardModel, save_model
from sensei.study.layout import RunFiles
from sensei.training.runs import explore

ACTIONS = 4
UNIFORM, COLLAPSED = np.log(ACTIONS), 0.25  # nats: of all moves equally, and just above what the uniform mix alone leaves
RISE = 0.5  # of the reward model's units a step, in which being beside the door makes some 4; seeds 1 and 2 rise by 1.4 and 1.8
SETTINGS = {
    "world_model": {"learning_rate": 3e-3, "image_weight": 10, "flag_weight": 5, "free_nats": 0, "representation_free_nats": 1},
    "ensemble": {"members": 3, "learning_rate": 1e-3},
    "behaviour": {
        "horizon": 8,
        "starts": 64,
        "task_every": 16,
        "discount": 0.95,
        "entropy": 1e-2,
        "learning_rate": 1e-3,
        "actor_learning_rate": 5e-4,
        "actor_delay": 150,
        "actor_uniform_mix": 0.05,
        "corrected_scales": True,
    },
    "training": {
        "explore_steps": 2400,
        "workers": 4,
        "batch_size": 16,
        "batch_length": 8,
        "train_ratio": 40,
        "prefill": 500,
        "flag_windows": 0.5,
        "log_every": 250,
        "checkpoint_every": 100_000,
    },
    "reward": {"architecture": "small"},
}


@pytest.mark.slow
def test_the_policy_leaves_uniform_without_collapsing_and_its_semantic_return_rises(tmp_path):
    study = toy_study("toy_keydoor", episode_steps=20, **SETTINGS)
    _distil(study.settings["toy_keydoor"], tmp_path / "reward.safetensors")
    explore(study, "toy_keydoor", "sensei", 1, tmp_path / "run", tmp_path / "reward.safetensors")
    entropy = [line["explore/entropy"] for line in lines(tmp_path / "run") if "explore/entropy" in line]
    episodes = pd.read_parquet(RunFiles(tmp_path / "run").events).query("finished")
    each = episodes.semantic_return / episodes.length  # of every episode a step
    first, _, last = (part.mean() for part in np.array_split(each, 3))
    assert entropy[0] > 0.8 * UNIFORM > 0.6 * UNIFORM > entropy[-1], entropy
    assert min(entropy) > COLLAPSED, entropy
    assert last > first + RISE, (first, last)


def _distil(settings, path) -> None:
    """A reward model from pairs of frames of random play: it is good to be beside the door, and better with the key."""
    env, rng = make(settings.environment, settings.world_model.image_size), generator(0, "frames")
    pictures, flags, ranks = [], [], []
    ended = True
    for step in range(400):
        if ended:
            observation, info = env.reset(seed=step)
        pictures.append(env.render_for_annotator())
        flags.append(observation["flags"])
        ranks.append(2 * info["state"]["closed_door_beside"] + info["state"]["key_held"])
        observation, _, terminated, truncated, info = env.step(int(rng.integers(ACTIONS)))
        ended = terminated or truncated
    picture, flag, rank = (torch.from_numpy(np.stack(field)) for field in (pictures, flags, ranks))
    model = RewardModel(env.annotator_image_shape, 1, settings.reward, torch.Generator().manual_seed(0))
    adam = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(60):
        first, second = torch.from_numpy(rng.integers(len(rank), size=(2, 64)))
        target = ((rank[second] - rank[first]).sign() / 2 + 0.5).float()
        loss = bradley_terry_loss(model(picture[first], flag[first]), model(picture[second], flag[second]), target)
        adam.zero_grad()
        loss.backward()
        adam.step()
    save_model(path, model)
