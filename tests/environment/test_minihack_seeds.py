"""A seed fixes an episode of NetHack: in another process, after another history, on another day."""

import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import environment

from sensei.envs.registry import make
from sensei.study.models.environment import EnvironmentConfig

CONFIGS = Path(__file__).resolve().parent.parent.parent / "config" / "envs"
PROGRAM = """
import sys
sys.path.append("..")
from test_minihack_seeds import episodes
print(*episodes(sys.argv[1], range(int(sys.argv[2]))))
"""


def open_env(name: str):
    return make(EnvironmentConfig(**yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["environment"]), 40)


def episodes(name: str, seeds, steps: int = 40) -> list[str]:
    """Hash of everything that can be seen in the first steps of one episode per seed."""
    env, hashes = open_env(name), []
    for seed in seeds:
        seen, rng = hashlib.sha256(), np.random.default_rng(seed)
        observation, info = env.reset(seed=seed)
        for _ in range(steps):
            seen.update(observation["image"].tobytes() + observation["flags"].tobytes() + repr(info).encode())
            seen.update(env._now.message + env._now.glyphs.tobytes())
            observation, _, terminated, truncated, info = env.step(int(rng.integers(env.action_space.n)))
            if terminated or truncated:
                break
        hashes.append(seen.hexdigest())
    env.close()
    return hashes


@pytest.mark.parametrize("name", ["minihack_keyroom_s15", "minihack_keychest"])
def test_twenty_episodes_are_the_same_in_two_processes(name):
    command = [sys.executable, "-c", PROGRAM, name, "20"]
    there = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parent,
        env=environment(),
    )
    here = episodes(name, range(20))
    assert there.communicate(timeout=120)[0].split() == here
    assert len(set(here)) == 20, "another seed is another episode"


@pytest.mark.parametrize("name", ["minihack_keyroom_s5", "minihack_keychest"])
def test_an_episode_does_not_depend_on_those_before(name):
    assert episodes(name, [7, 3, 11, 5])[::-1] == episodes(name, [5, 11, 3, 7])


def test_reset_without_a_seed_goes_on_from_the_seed_given_before():
    def places(seed: int) -> list[tuple]:
        env = open_env("minihack_keychest")
        infos = [env.reset(seed=seed)[1], *(env.reset()[1] for _ in range(4))]
        env.close()
        return [tuple(info["state"].values()) for info in infos]

    assert places(1) == places(1) != places(2)
    assert len(set(places(1))) > 1


def test_keychest_draws_another_layout_at_every_reset():
    env = open_env("minihack_keychest")
    layouts = set()
    for seed in range(10):
        env.reset(seed=seed)
        layouts.add(env._game._layout.grid.encode().tobytes())
    env.close()
    assert len(layouts) == 10
