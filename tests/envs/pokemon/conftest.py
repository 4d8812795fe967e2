"""The cartridge that PyBoy ships, in the place of the user's."""

import pytest
import yaml
from fakes.shipped import OPTIONS, ROM
from helpers import ROOT

from sensei.envs.pokemon import cartridge
from sensei.envs.registry import make
from sensei.study.models.environment import EnvironmentConfig

GIVEN = yaml.safe_load((ROOT / "config" / "envs" / "pokemon_red.yaml").read_text(encoding="utf-8"))["environment"]


@pytest.fixture(autouse=True)
def shipped(monkeypatch):
    monkeypatch.setenv(cartridge.ROM, str(ROM))
    monkeypatch.delenv(cartridge.STATE, raising=False)


@pytest.fixture
def made():
    """Make environments, with options and a length; they are closed at the end."""
    open_ones = []

    def make_one(options=None, episode_steps=20):
        config = EnvironmentConfig(**{**GIVEN, "episode_steps": episode_steps, "options": {**OPTIONS, **(options or {})}})
        open_ones.append(make(config, 64))
        return open_ones[-1]

    yield make_one
    for env in open_ones:
        env.close()
