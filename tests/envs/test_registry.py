"""Families are found by their place or by "package.module:Class", lightly; what is true of one is said by its class."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes.guide import shown
from helpers import environment

import sensei.envs
from sensei.core import plugins
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.envs.check import check_environment
from sensei.envs.redraw import draw_states
from sensei.envs.registry import checked, family, make
from sensei.envs.vector.environment import VectorEnvironment
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.environment import EnvironmentConfig

CODE, ABOUT = shown("rooms.py"), shown("config/envs/corridor.yaml")
REDRAWN = """

class Redrawn(Corridor):
    renders_states = True

    def render_state(self, state, view=None):
        self._x = int(state["x"])
        return self.render_for_annotator(view)
"""


def config(name: str, **changes) -> EnvironmentConfig:
    """A file of config/envs."""
    return EnvironmentConfig(**{**read_yaml(CONFIG_FOLDER / "envs" / f"{name}.yaml")["environment"], **changes})


@pytest.fixture
def corridor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EnvironmentConfig]:
    """The environment of docs/extending.md, its family a file in the working folder, outside the repository."""
    (tmp_path / "rooms.py").write_text(CODE + REDRAWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield checked(EnvironmentConfig(**yaml.safe_load(ABOUT)["environment"]), "corridor.yaml")
    sys.modules.pop("rooms", None)


def test_a_family_of_another_repository_is_one_like_any(corridor):
    assert (corridor.family, corridor.options) == ("rooms:Corridor", {"cells": 8})
    assert check_environment(make(corridor, 16)) <= corridor.episode_steps
    with VectorEnvironment(corridor, 16, 0, "train", 2) as vector:
        rows = [vector.reset(), *(vector.step(np.ones(2, np.int64)) for _ in range(7))]
    assert family(corridor).ranks({"x": rows[0]["state"][:, 0]}).max() < 4
    assert sum(row["events"][:, 0].sum() for row in rows) >= 2, "both walk right, to the end"
    redrawn = corridor.model_copy(update={"family": "rooms:Redrawn"})
    [picture] = draw_states(redrawn, np.array([[3.0]], np.float32), ["x"])
    assert picture.shape == (64, 64, 3) and (picture[:, 24:32] == 255).all() and picture[:, :24].max() == 0


def test_a_family_of_this_repository_is_the_module_of_its_name(monkeypatch, tmp_path):
    room = tmp_path / "envs"  # as if it were sensei/envs
    room.mkdir()
    (room / "corridor.py").write_text(CODE)
    monkeypatch.setattr(plugins, "PACKAGE", tmp_path)
    monkeypatch.setattr(sensei.envs, "__path__", [str(room)])
    plugins._places.cache_clear()
    assert family(config("toy_counting", family="corridor")).__name__ == "Corridor"
    plugins._places.cache_clear()
    del sys.modules["sensei.envs.corridor"]


def test_an_unknown_family_names_those_there_are():
    with pytest.raises(SenseiError, match="found minhack, expected one of minihack, pixels, pokemon, robodesk, or"):
        family(config("toy_counting", family="minhack"))
    with pytest.raises(SenseiError, match="there is no environment family nowhere:Thing"):
        family(config("toy_counting", family="nowhere:Thing"))
    with pytest.raises(SenseiError, match="no environment family: expected a class that derives from Environment"):
        family(config("toy_counting", family="sensei.envs.redraw:EnvironmentConfig"))


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

about = {"level": "-", "tasks": ["none"], "title": "-", "episode_steps": 1, "events": ["environment_reward"]}
for name in (*names("sensei.envs", "Environment"), "sensei.envs.toy:KeyDoor"):
    family(EnvironmentConfig(family=name, **about))
heavy = {"torch", "nle", "minihack", "minigrid", "mujoco", "dm_control", "robodesk", "OpenGL", "gym"}
print(sorted(heavy & sys.modules.keys()), os.environ == before)
"""


def test_no_family_imports_its_simulator_or_looks_for_opengl():
    run = subprocess.run([sys.executable, "-c", LIGHT], check=True, env=environment(), capture_output=True, text=True)
    assert run.stdout == "[] True\n"
