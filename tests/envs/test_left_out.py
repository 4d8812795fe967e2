"""An environment for which a user has to bring something, and what is drawn of it alone, are left out where that is not here."""

import pytest

from sensei.analysis.figures.registry import figures_of
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.envs.pokemon import cartridge
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study


def test_it_is_left_out_with_the_environment(monkeypatch):
    smoke = read_yaml(CONFIG_FOLDER / "smoke.yaml")
    monkeypatch.delenv(cartridge.ROM, raising=False)
    content = {**smoke, "environments": [*smoke["environments"], "pokemon_red"], "figures": [*smoke["figures"], "pokemon_progress"]}
    study = load_study(content, "a study")
    assert study.environments == smoke["environments"] and list(figures_of(study)) == smoke["figures"]
    (line,) = study.told_left_out()
    assert line.startswith("pokemon_red is left out: ") and cartridge.ROM in line and "\n" not in line
    with pytest.raises(SenseiError, match="no environment is left to run: pokemon_red"):
        load_study(CONFIG_FOLDER / "pokemon.yaml")
