"""Figures of a run's episodes: on a table of events with known answers, in an environment that counts what Pokémon Red counts."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import OF_POKEMON, make_study

from sensei.analysis import published
from sensei.analysis.figures.contract import drawing
from sensei.analysis.figures.registry import figure
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout

NAME = "toy_counting"  # stands in for the game; its events are replaced by the game's
EPISODES = 20
CAUGHT = list(published.bars(25)["metric"].unique())
EVENTS = [f"segment_{number}_reached" for number in range(10)] + [
    "map_segments_per_episode",
    "max_map_segment",
    "highest_level",
    "summed_level",
    "max_party_size",
    "gym_badges",
    "potential",
    *CAUGHT,
]


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Seed s of a method comes to segment 5 + s in its last episode, to 3 in the others; level, party and badges are known too."""
    study = make_study((NAME,), (0, 1), explore=["sensei", "plan2explore"], learn=["dreamerv3"], figures=["interactions"])
    settings = study.settings[NAME]
    environment = settings.environment.model_copy(update={"events": EVENTS})
    study = study.model_copy(update={"settings": {NAME: settings.model_copy(update={"environment": environment})}})
    layout = Layout(tmp_path_factory.mktemp("results"))
    for method, seed in itertools.product(study.explore, study.seeds):
        rows = []
        for number in range(EPISODES + 1):
            last = number == EPISODES - 1
            segment = 5 + seed if last else 3
            row = {"worker": 0, "episode": number, "finished": number < EPISODES, "first_step": 10 * number, "last_step": 10 * (number + 1)}
            row |= {"length": 10, "episode_return": 0.0, "semantic_return": 0.0} | dict.fromkeys(EVENTS, 0.0)
            row |= {f"segment_{reached}_reached": 1.0 for reached in range(segment + 1)}
            row |= {
                "map_segments_per_episode": segment + 1.0,
                "max_map_segment": float(segment),
                "highest_level": 6.0 + last,
                "summed_level": 12.0,
            }
            rows.append(row | {"max_party_size": 2.0, "potential": 1500.0, "caught_squirtle": 1.0, "caught_pidgey": float(seed and last)})
        run = layout.explore(NAME, method, seed)
        run.folder.mkdir(parents=True)
        pd.DataFrame(rows).to_parquet(run.events)
    return study, layout


def numbers(played, name: str) -> pd.DataFrame:
    study, layout = played
    return drawing(figure(name), study, figure(name).inputs(study, layout)).numbers.query("source == 'ours' and method == 'sensei'")


@pytest.mark.parametrize("name", OF_POKEMON)
def test_every_figure_of_episodes_is_legible(name, played, drawn, legible):
    legible(drawn(name, *played).figure)


def test_segments_ever_reached_are_shares_of_seeds(played):
    reached = numbers(played, "pokemon_progress").dropna(subset="metric").set_index("metric")["value"]
    assert reached.tolist() == [100.0] * 6 + [50.0] + [0.0] * 3


def test_what_was_ever_caught(played):
    caught = numbers(played, "pokemon_caught").set_index("metric")["value"]
    assert caught["caught_squirtle"] == 100 and caught["caught_pidgey"] == 50 and caught.sum() == 150


def test_distributions_over_episodes(played):
    shares = numbers(played, "pokemon_parties").set_index("metric")["value"]
    assert shares["party_size_2"] == 100 and shares["party_size_1"] == 0
    assert shares["highest_level_6"] == pytest.approx(100 * 19 / 20) and shares["highest_level_7"] == pytest.approx(100 / 20)
    assert shares["summed_level_10_13"] == 100 and shares["summed_level_6_9"] == 0


def test_curves_over_episodes_are_means_of_moving_averages(played):
    table = numbers(played, "pokemon_episodes")
    means = table[(table["drawn"] == "mean") & (table["task"] == "max_map_segment")].set_index("step")["value"]
    assert list(means.index) == list(range(1, EPISODES + 1)), "the unfinished episode does not count"
    assert means[EPISODES - 1] == 3 and means[EPISODES] == pytest.approx(np.mean([(4 * 3 + 5) / 5, (4 * 3 + 6) / 5]))
    returns = table[(table["drawn"] == "mean") & (table["task"] == "return_per_step")]["value"]
    assert set(returns) == {150.0}


def test_an_environment_that_counts_none_of_it_is_refused(study, layout):
    for name in OF_POKEMON:
        assert not figure(name).concerns(study)
        with pytest.raises(SenseiError, match=f"{name} draws what no environment of the study counts"):
            drawing(figure(name), study, figure(name).inputs(study, layout))


def test_a_missing_run_is_named(played):
    study, layout = played
    more = study.model_copy(update={"seeds": [0, 1, 2], "allow_partial": True})
    assert "sensei seed 2" in drawing(figure("pokemon_caught"), more, figure("pokemon_caught").inputs(more, layout)).caption
