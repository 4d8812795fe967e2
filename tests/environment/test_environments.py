"""Every configured environment keeps the contract; so do Gymnasium's pixel environments, and the others are refused."""

import subprocess
import sys
from pathlib import Path

import gymnasium
import numpy as np
import pytest
import yaml
from fakes import shipped
from gymnasium.utils.env_checker import check_env
from helpers import environment

from sensei.core.errors import SenseiError
from sensei.envs.check import check_environment
from sensei.envs.contract import Environment
from sensei.envs.pokemon import cartridge
from sensei.envs.registry import family, make
from sensei.study.models.environment import EnvironmentConfig

CONFIGS = sorted((Path(__file__).resolve().parent.parent.parent / "config" / "envs").glob("*.yaml"))


CHANGED = {
    "robodesk": {"options": {"render_quality": "fast"}, "episode_steps": 20},  # a picture at full quality takes 0.2 s
    "pokemon": {"options": shipped.OPTIONS, "episode_steps": 20},
}


@pytest.fixture(autouse=True)
def brought(monkeypatch):
    monkeypatch.setenv(cartridge.ROM, str(shipped.ROM))


def config(path: Path, **changes) -> EnvironmentConfig:
    given = yaml.safe_load(path.read_text())["environment"]
    return EnvironmentConfig(**{**given, **CHANGED.get(given["family"], {}), **changes})


def pixels(level: str, **changes) -> EnvironmentConfig:
    given = {"family": "pixels", "level": level, "tasks": ["t"], "title": "T", "episode_steps": 30, "events": ["environment_reward"]}
    return EnvironmentConfig(**{**given, **changes})


class Camera(gymnasium.Env):
    """Pixels as observation, two actions in [0, 4], one event."""

    observation_space = gymnasium.spaces.Box(0, 255, (48, 48, 3), np.uint8)
    action_space = gymnasium.spaces.Box(0.0, 4.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self._look(np.zeros(2)), {"events": {"large": 0}}

    def step(self, action):
        return self._look(action), float(action.sum()), False, False, {"events": {"large": action.max() > 3}}

    def _look(self, action):
        return np.full((48, 48, 3), int(action.sum()) + self.np_random.integers(100), np.uint8)


gymnasium.register("Camera-v0", Camera)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_configured_environment_keeps_the_contract(path):
    env = make(config(path), 64)
    assert 1 <= check_environment(env) <= config(path).episode_steps
    check_env(env, skip_render_check=True)
    env.close()


@pytest.mark.parametrize("level", ["minigrid:MiniGrid-Empty-5x5-v0", "Camera-v0"])
@pytest.mark.parametrize("image_size", [16, 48])
def test_gymnasium_pixel_environments_keep_the_contract(level, image_size):
    env = make(pixels(level), image_size)
    check_environment(env)
    env.close()


def test_a_gymnasium_environment_with_events_and_box_actions():
    env = make(pixels("Camera-v0", events=["large", "environment_reward"]), 24)
    env.reset(seed=0)
    *_, info = env.step(np.array([1.0, -1.0], np.float32))
    assert info["events"] == {"large": 1, "environment_reward": 4}, "actions are rescaled from [-1, 1] to [0, 4]"
    assert env.render_for_annotator().shape == (48, 48, 3)
    assert not [env.step(np.zeros(2, np.float32))[3] for _ in range(28)].count(True)
    assert env.step(np.zeros(2, np.float32))[2:4] == (False, True)


@pytest.mark.parametrize("level", ["FrozenLake-v99", "nowhere:Thing-v0", "Nothing-v0"])
def test_an_environment_that_cannot_be_made_is_a_clear_error(level):
    with pytest.raises(SenseiError, match=f"cannot make the Gymnasium environment {level}"):
        make(pixels(level), 64)


def test_environments_without_pixels_or_with_other_actions_are_refused():
    class Blind(gymnasium.Env):
        observation_space = gymnasium.spaces.Box(0, 1, (3,))
        action_space = gymnasium.spaces.Discrete(2)

    class Odd(Camera):
        action_space = gymnasium.spaces.MultiDiscrete([2, 2])

    gymnasium.register("Blind-v0", Blind)
    gymnasium.register("Odd-v0", Odd)
    with pytest.raises(SenseiError, match="has no pixels"):
        make(pixels("Blind-v0"), 64)
    with pytest.raises(SenseiError, match="actions of environment Odd-v0"):
        make(pixels("Odd-v0"), 64)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_an_unknown_event_names_the_known_ones(path):
    with pytest.raises(SenseiError, match="found door_open, expected one of .*environment_reward"):
        make(config(path, events=["door_open"]), 64)


@pytest.mark.parametrize("path", [path for path in CONFIGS if not path.stem.startswith("toy")], ids=lambda path: path.stem)
def test_an_unknown_level_names_the_known_ones(path):
    with pytest.raises(SenseiError, match="found KeyRoom-S99, expected one of"):
        make(config(path, level="KeyRoom-S99"), 64)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_what_the_class_says_is_true_of_its_environments(path):
    of, env = family(config(path)), make(config(path), 16)
    assert max(env.annotator_image_shape) == of.annotator_side
    assert of.can_rank(env.state_names) == (path.stem != "toy_counting")
    assert {event for summed in of.interactions(env.event_names).values() for event in summed} <= set(env.event_names)
    assert of.renders_states == (of.render_state is not Environment.render_state)
    env.reset(seed=0)
    assert {env.render_for_annotator(view).shape for view in of.annotator_views} == {env.annotator_image_shape}
    env.close()


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from sensei.core.yaml import read_yaml
from sensei.envs.contract import Environment
from sensei.envs.pokemon import cartridge
from sensei.envs.registry import family, make
from sensei.study.models.environment import EnvironmentConfig
make(EnvironmentConfig(**read_yaml(sys.argv[2])["environment"]), 64)
"""


@pytest.mark.parametrize(("name", "package"), [("minihack_keyroom_s5", "nle.nethack"), ("robodesk", "robodesk")])
def test_a_missing_package_is_one_line(name, package):
    command = [sys.executable, "-c", MISSING, package, CONFIGS[0].parent / f"{name}.yaml"]
    run = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
    what, hint = run.stderr.splitlines()[-2:]
    assert what == f"sensei.core.errors.MachineError: environments of family {name.partition('_')[0]} need the Python module {package}"
    assert hint == "-> pip install -r requirements.lock"
