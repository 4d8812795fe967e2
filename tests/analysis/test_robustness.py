"""How far outcomes spread over settings, and how often the switch goes: known numbers, and what a study must have for them."""

import json

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study

from sensei.analysis.figures.registry import figure
from sensei.analysis.style import styled
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout

ROOM = "minihack_keyroom_s15"
FIXED = ["fixed_a0.1_b1", "fixed_a0.5_b1", "fixed_a1_b0.1"]
SWITCH = ["sensei", "sensei_hp1", "sensei_hp2"]
COLUMNS = ["environment", "task", "method", "seed", "step", "metric", "value"]


def explored(counts: dict[str, float], seeds=(0, 1, 2), noise=0.0) -> pd.DataFrame:
    """Doors that each method opens, the same in every seed but for `noise`; keys ten times as many; nothing else happens."""
    rows = [
        (ROOM, "explore", method, seed, 20_000, event, factor * (value + noise * (seed - 1)))
        for method, value in counts.items()
        for seed in seeds
        for event, factor in (("door_opened", 1), ("key_picked_up", 10), ("next_to_exit", 0))
    ]
    return pd.DataFrame(rows, columns=COLUMNS)


@pytest.fixture(scope="module")
def settings_study():
    return make_study(explore=[*SWITCH, *FIXED, "plan2explore"], learn=[], figures=["robustness"])


def test_spreads_are_those_of_the_means_and_the_difference_is_told(settings_study, drawn_from, legible):
    drawing = drawn_from("robustness", settings_study, explored(dict(zip([*FIXED, *SWITCH], (10, 20, 30, 20, 20, 20), strict=True))))
    numbers = drawing.numbers.set_index(["metric", "settings"])
    assert set(drawing.numbers["metric"]) == {"door_opened", "key_picked_up", "mean of all"}  # none where nothing happened
    for metric in ("door_opened", "key_picked_up", "mean of all"):
        fixed, switch = (numbers.loc[(metric, f"{kind}")] for kind in ("pairs of fixed weights", "settings of the switch"))
        assert (fixed["value"], switch["value"]) == pytest.approx((0.5, 0))
        assert (fixed["low"], fixed["high"]) == pytest.approx((0.5, 0.5)), "seeds that agree leave no doubt"
        assert (fixed["methods"], fixed["seeds"], fixed["steps"]) == (3, 3, 20_000)
    difference = numbers.loc[("mean of all", "difference")]
    assert (difference["value"], difference["low"]) == pytest.approx((0.5, 0.5))
    assert "3 pairs of fixed weights 0.50 [0.50, 0.50]; 3 settings of the switch 0.00 [0.00, 0.00]; difference 0.50" in drawing.caption
    legible(drawing.figure)


def test_one_seed_has_no_interval(settings_study, drawn_from):
    drawing = drawn_from("robustness", settings_study, explored(dict.fromkeys([*FIXED, *SWITCH], 7), seeds=(0,)))
    assert drawing.numbers[["low", "high"]].isna().all(axis=None)
    assert "one seed, so no intervals" in drawing.caption and "nan" not in drawing.caption


def test_what_seeds_differ_by_is_no_spread_over_settings(settings_study, drawn_from):
    counts = dict(zip([*FIXED, *SWITCH], (19, 20, 21, 10, 20, 30), strict=True))
    numbers = drawn_from("robustness", settings_study, explored(counts, noise=3)).numbers.set_index(["metric", "settings"])["value"]
    assert numbers["door_opened", "pairs of fixed weights"] == 0
    assert numbers["door_opened", "settings of the switch"] == pytest.approx(np.sqrt(100 - 3) / 20)


@pytest.mark.parametrize(
    "explore, said",
    [
        (SWITCH, "fewer than two pairs of fixed weights"),
        ([*FIXED, "sensei"], "fewer than two settings of the switch"),
    ],
)
def test_a_study_without_settings_to_compare_is_refused(explore, said, drawn_from):
    study = make_study(explore=[*explore, "plan2explore"], learn=[], figures=["interactions"])
    with pytest.raises(SenseiError, match=said):
        drawn_from("robustness", study, explored(dict.fromkeys(explore, 5)))


def test_a_study_in_which_nothing_happened_is_refused(settings_study, drawn_from):
    with pytest.raises(SenseiError, match="nothing was counted in any run"):
        drawn_from("robustness", settings_study, explored(dict.fromkeys([*FIXED, *SWITCH], 0)))


def test_either_figure_of_settings_leaves_the_other_settings_out(settings_study, drawn_from):
    scores = explored(dict.fromkeys(settings_study.explore, 5))
    drawn = {name: set(drawn_from(name, settings_study, scores).numbers["method"]) for name in ("fixed_weights", "gate_settings")}
    assert drawn == {"fixed_weights": {"sensei", *FIXED, "plan2explore"}, "gate_settings": {*SWITCH, "plan2explore"}}


@pytest.fixture
def logged(tmp_path, settings_study) -> Layout:
    """Runs of every method in which SENSEI goes in three of four imagined states, later in one of four; the others log no share."""
    layout = Layout(tmp_path)
    for method in settings_study.explore:
        for seed in settings_study.seeds:
            metrics = layout.explore(ROOM, method, seed).metrics
            metrics.parent.mkdir(parents=True)
            share = {"explore/explore_share": 0.25} if method == "sensei" else {}
            later = {"explore/explore_share": 0.75} if method == "sensei" else {}
            lines = [{"step": step, "loss/image": 1.0} | (share if step < 10_000 else later) for step in range(0, 20_000, 250)]
            metrics.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return layout


def test_the_share_of_going_is_what_is_not_exploring(settings_study, logged, legible):
    one = figure("go_share")
    inputs = one.inputs(settings_study, logged)
    assert {path.parent.parent.name for path in inputs["metrics"]} == set(SWITCH), "fixed weights never switch"
    with styled():
        drawing = one.draw(settings_study, one.load(settings_study, inputs))
    lines = drawing.numbers[drawing.numbers["method"] == "sensei"]
    assert lines.loc[lines["step"] < 9_900, "value"].unique() == pytest.approx([0.75])
    assert lines.loc[lines["step"] > 10_100, "value"].unique() == pytest.approx([0.25])
    legible(drawing.figure)


def test_a_study_without_a_gate_has_no_share_of_going():
    with pytest.raises(SenseiError, match="draws methods with a gate"):
        figure("go_share").check(make_study(explore=["plan2explore", "random"], learn=[], figures=["interactions"]))
