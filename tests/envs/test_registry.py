"""Families are found by their place or by "package.module:Class", lightly; what is true of one is said by its class."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import environment

from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.envs.check import check_environment
from sensei.envs.contract import Environment
from sensei.envs.redraw import draw_states
from sensei.envs.registry import checked, family, make
from sensei.envs.vector.environment import VectorEnvironment
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.environment import EnvironmentConfig

ELSEWHERE = '''
import numpy as np
from gymnasium.spaces import Discrete

from sensei.envs.contract import Environment, Outcome
from sensei.study.models.section import Section


class Corridor(Environment):
    """Ten cells in a row."""

    class Options(Section):
        length: int = 10

    renders_states = True
    annotator_side = 48

    def __init__(self, config, image_size):
        self._last = self.Options(**config.options).length - 1
        super().__init__(config, image_size, action_space=Discrete(2), known_events=("end_reached",), state_names=("x",))

    def _begin(self, seed):
        self._x = seed % 5

    def _advance(self, action):
        self._x = min(max(self._x + 2 * action - 1, 0), self._last)
        return Outcome(terminated=self._x == self._last, events={"end_reached": self._x == self._last})

    def _state(self):
        return {"x": float(self._x)}

    def _image(self):
        return self._draw(self._x, self.observation_space["image"].shape[0])

    def render_for_annotator(self, view=None):
        return self._draw(self._x, self.annotator_side)

    def render_state(self, state, view=None):
        return self._draw(state["x"], self.annotator_side)

    def _draw(self, x, side):
        return np.full((side, side, 3), x, np.uint8)
'''


def config(name: str, **changes) -> EnvironmentConfig:
    """A file of config/envs."""
    return EnvironmentConfig(**{**read_yaml(CONFIG_FOLDER / "envs" / f"{name}.yaml")["environment"], **changes})


@pytest.fixture
def corridor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EnvironmentConfig:
    """An environment whose family is a file of the folder that the study lies in."""
    (tmp_path / "rooms.py").write_text(ELSEWHERE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield EnvironmentConfig(
        family="rooms:Corridor", level="-", tasks=["-"], title="-", episode_steps=12, events=["end_reached"], options={"length": 7}
    )
    sys.modules.pop("rooms", None)


def test_a_family_of_another_repository_is_one_like_any(corridor):
    assert family(corridor).__name__ == "Corridor"
    assert check_environment(make(corridor, 16)) <= 12
    with VectorEnvironment(corridor, 16, 0, "train", 2) as vector:
        vector.reset()
        rows = [vector.step(np.ones(2, np.int64)) for _ in range(6)]
        assert any(row["is_terminal"].any() for row in rows) and rows[0]["state"].max() <= 6
    [picture] = draw_states(corridor, np.array([[3.0]], np.float32), ["x"])
    assert picture.shape == (48, 48, 3) and (picture == 3).all()


def test_an_unknown_family_names_those_there_are():
    with pytest.raises(SenseiError, match="unknown environment family: found minhack, expected one of minihack, pixels, robodesk, or"):
        family(config("toy_counting", family="minhack"))
    with pytest.raises(SenseiError, match="there is no environment family nowhere:Thing"):
        family(config("toy_counting", family="nowhere:Thing"))
    with pytest.raises(SenseiError, match="no environment family: expected a class that derives from Environment"):
        family(config("toy_counting", family="sensei.envs.redraw:EnvironmentConfig"))


@pytest.mark.parametrize("name", sorted(path.stem for path in (CONFIG_FOLDER / "envs").glob("*.yaml")))
def test_what_the_class_says_is_true_of_its_environments(name):
    of, env = family(config(name)), make(checked(config(name, options={}), name), 16)
    assert env.annotator_image_shape == (of.annotator_side, of.annotator_side, 3)
    assert of.can_rank(env.state_names) == (of.ranks is not Environment.ranks and "key_held" in env.state_names or name == "robodesk")
    assert set().union(*of.interactions(env.event_names).values()) <= set(env.event_names)
    assert of.renders_states == (of.render_state is not Environment.render_state)
    env.close()


def test_interactions_are_those_of_the_figures():
    assert list(family(config("robodesk")).interactions(config("robodesk").events)) == [
        "upright_block",
        "flat_block",
        "ball",
        "buttons",
        "drawer",
        "sliding_cabinet",
    ]
    assert list(family(config("robodesk")).interactions(["ball_moved", "red_button_moved"])) == ["ball"]
    assert family(config("toy_keydoor")).interactions(["b", "task_t", "a"]) == {"b": ["b"], "a": ["a"]}


def test_published_values_call_an_environment_by_its_first_task_and_the_desk_by_its_name():
    names = {name: family(config(name)).published_name(config(name)) for name in ("minihack_keyroom_s15", "minihack_keychest", "robodesk")}
    assert names == {"minihack_keyroom_s15": "keyroom", "minihack_keychest": "keychest", "robodesk": "robodesk"}


def test_what_a_family_cannot_do_is_one_line():
    toy = family(config("toy_counting"))
    with pytest.raises(SenseiError, match="does not describe its pictures in words"):
        toy.captions()
    with pytest.raises(SenseiError, match="cannot rank this environment's states: found steps"):
        toy.ranks({"steps": 1.0})
    with pytest.raises(SenseiError, match="set `pairs.kind: random`"):
        toy.extremes({"steps": 1.0})
    with pytest.raises(SenseiError, match="cannot draw a state again"):
        next(draw_states(config("toy_counting"), np.zeros((1, 3), np.float32), ["steps", "last_action", "seed"]))


def test_options_are_filled_from_the_family():
    filled = checked(config("robodesk", options={"reward": "dense"}), "a.yaml").options
    assert filled == {"render_quality": "full", "original_positions": "views", "reward": "dense"}
    assert checked(config("toy_counting"), "a.yaml").options == {}


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("robodesk", {"render_quality": "best"}, "a.yaml: `environment.options.render_quality`: input should be 'full' or 'fast'"),
        ("robodesk", {"quality": "full"}, "a.yaml: unknown key `environment.options.quality`: expected one of original_positions, render"),
        ("toy_counting", {"render_quality": "full"}, "a.yaml: unknown key `environment.options.render_quality`: expected no key there"),
    ],
)
def test_a_wrong_option_names_file_key_and_remedy(name, options, message):
    with pytest.raises(SenseiError, match=message):
        checked(config(name, options=options), "a.yaml")


LIGHT = """
import os, sys
before = dict(os.environ)
from sensei.core.plugins import names
from sensei.envs.registry import family
from sensei.study.models.environment import EnvironmentConfig

about = {"level": "-", "tasks": ["-"], "title": "-", "episode_steps": 1, "events": ["environment_reward"]}
for name in (*names("sensei.envs", "Environment"), "sensei.envs.toy:KeyDoor"):
    family(EnvironmentConfig(family=name, **about))
heavy = {"torch", "nle", "minihack", "minigrid", "mujoco", "dm_control", "robodesk", "OpenGL", "gym"}
print(sorted(heavy & sys.modules.keys()), os.environ == before)
"""


def test_no_family_imports_its_simulator_or_looks_for_opengl():
    run = subprocess.run([sys.executable, "-c", LIGHT], check=True, env=environment(), capture_output=True, text=True)
    assert run.stdout == "[] True\n"


MISSING = """
import sys
sys.modules[sys.argv[1]] = None
from sensei.core.yaml import read_yaml
from sensei.envs.registry import make
from sensei.study.models.environment import EnvironmentConfig
make(EnvironmentConfig(**read_yaml(sys.argv[2])["environment"]), 64)
"""


@pytest.mark.parametrize(("name", "package"), [("minihack_keyroom_s5", "nle.nethack"), ("robodesk", "robodesk")])
def test_a_missing_package_is_one_line(name, package):
    command = [sys.executable, "-c", MISSING, package, CONFIG_FOLDER / "envs" / f"{name}.yaml"]
    run = subprocess.run(command, check=False, env=environment(), capture_output=True, text=True)
    what, hint = run.stderr.splitlines()[-2:]
    assert what == f"sensei.core.errors.SenseiError: environments of family {name.partition('_')[0]} need the Python module {package}"
    assert hint == "-> pip install -r requirements.lock"
