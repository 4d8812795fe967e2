"""Progress on the map, from tables of episodes that the test writes."""

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study

from sensei.analysis.figures.contract import drawing
from sensei.analysis.figures.registry import figure, figures_of
from sensei.analysis.published import curves
from sensei.core.errors import SenseiError
from sensei.envs.pokemon import cartridge
from sensei.envs.pokemon.progress import EVENTS
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study

# Per run and episode: the highest segment. Runs 0 and 1 of five come to segment 9, in half of their episodes.
HIGHEST = [[9, 3], [3, 9], [4, 4], [3, 3], [2, 2]]


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(cartridge.ROM, "walker.gb")
        study = load_study(CONFIG_FOLDER / "pokemon.yaml")
    layout = Layout(tmp_path_factory.mktemp("results"))
    for environment, method, seed in study.exploration_runs():
        rows = []
        for episode, highest in enumerate(HIGHEST[seed]):
            reached = {f"segment_{number}_reached": float(number <= highest) for number in range(10)}
            own = {"max_map_segment": highest, "map_segments_per_episode": highest + 1, "highest_level": 6 + seed, "potential": 50.0 * 200}
            whole = dict.fromkeys(EVENTS, 0.0) | reached | own
            rows.append({"episode": episode, "finished": True, "last_step": 50 * (episode + 1), "length": 50, **whole})
        rows.append({**rows[-1], "episode": 2, "finished": False, "last_step": 110})
        path = layout.explore(environment, method, seed).events
        path.parent.mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(path)
    one = figure("map_progress")
    return drawing(one, study, one.inputs(study, layout))


def test_shares_of_runs_and_of_episodes(told):
    table = told.numbers[told.numbers["method"] == "plan2explore"].set_index(["metric", "x_name"])
    assert table.loc[("segment_9_reached", "runs"), "mean"] == 40 and table.loc[("segment_9_reached", "episodes"), "mean"] == 20
    assert table.loc[("segment_2_reached", "runs"), "mean"] == 100 and table.loc[("segment_4_reached", "runs"), "mean"] == 60
    ends = table.loc[("segment_9_reached", "runs"), ["low", "high"]]
    assert 0 <= ends["low"] < 40 < ends["high"] <= 100


def test_curves_are_means_over_runs_of_finished_episodes(told):
    table = told.numbers[(told.numbers["method"] == "plan2explore") & (told.numbers["x_name"] == "episode")]
    highest = table[table["metric"] == "max_map_segment"]
    assert highest["x"].tolist() == [0, 1] and highest["mean"].tolist() == list(np.mean(HIGHEST, axis=0))
    assert table.loc[table["metric"] == "return_per_step", "mean"].tolist() == [200, 200]
    assert "5 seeds" in told.caption and "2 to 2 finished episodes" in told.caption


def test_quantities_have_the_names_of_the_published_ones(told):
    assert {metric for metric in told.numbers["metric"] if not metric.startswith("segment")} == set(curves(8, 24, 27)["task"])


def test_a_study_without_a_map_is_told_so():
    study = make_study()
    with pytest.raises(SenseiError, match="no environment of the study has a map"):
        figure("map_progress").draw(study, pd.DataFrame())


def test_it_is_left_out_with_the_environment(monkeypatch, smoke):
    monkeypatch.delenv(cartridge.ROM, raising=False)
    content = {**smoke, "environments": [*smoke["environments"], "pokemon_red"], "figures": [*smoke["figures"], "map_progress"]}
    study = load_study(content, "a study")
    assert study.environments == smoke["environments"] and list(figures_of(study)) == smoke["figures"]
    (line,) = study.told_left_out()
    assert line.startswith("pokemon_red is left out: ") and cartridge.ROM in line and "\n" not in line
    with pytest.raises(SenseiError, match="no environment is left to run: pokemon_red"):
        load_study(CONFIG_FOLDER / "pokemon.yaml")
