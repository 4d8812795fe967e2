"""Figures of curves: the score of a task over task steps, and PPO alone."""

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study

from sensei.analysis import published, style
from sensei.analysis.figures.registry import figure
from sensei.core.errors import SenseiError


def test_the_mean_of_the_seeds_lies_in_its_band(study, layout, drawn):
    drawing = drawn("learn", study, layout)
    numbers = drawing.numbers
    assert numbers.groupby("panel")["source"].nunique().max() == 1, "12K steps and 1M steps share no axis"
    mean = numbers[(numbers["source"] == "ours") & (numbers["drawn"] == "mean") & (numbers["method"] == "ppo")]
    seeds = numbers[(numbers["source"] == "ours") & (numbers["drawn"] == "seed") & (numbers["method"] == "ppo")]
    np.testing.assert_allclose(mean["value"], seeds.groupby("step")["value"].mean())
    assert (mean["low"] <= mean["value"]).all() and (mean["value"] <= mean["high"]).all()
    assert "not smoothed" in drawing.caption and "2 episodes per evaluation" in drawing.caption


def test_lines_and_bands_are_the_numbers(study, layout, drawn):
    drawing = drawn("learn", study, layout)
    axes, numbers = drawing.figure.axes[0], drawing.numbers
    for method in study.learn:
        own = numbers[(numbers["source"] == "ours") & (numbers["method"] == method)]
        lines = [line for line in axes.lines if line.get_color() == style.colour(method)]
        mean = own[own["drawn"] == "mean"]
        (bold,) = (line for line in lines if line.get_marker() == style.marker(method))
        np.testing.assert_allclose(bold.get_ydata(), mean["value"])
        assert len(lines) == 1 + len(study.seeds)
        (band,) = (band for band in axes.collections if np.allclose(band.get_facecolor()[0][:3], _rgb(style.colour(method))))
        corners = band.get_paths()[0].vertices
        for step, low, high in mean[["step", "low", "high"]].to_numpy():
            here = corners[corners[:, 0] == step, 1]
            assert (here.min(), here.max()) == pytest.approx((low, high))


def _rgb(colour: str) -> list[float]:
    return [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]


def test_published_curves_of_the_same_range_share_the_panel(at_full_scale, drawn_from):
    drawing = drawn_from("learn", *at_full_scale)
    assert len(drawing.figure.axes) == 2
    theirs = drawing.numbers[(drawing.numbers["source"] == "published") & (drawing.numbers["environment"] == "keyroom")]
    expected = published.curves(7).query("task == 'keyroom'")
    pd.testing.assert_series_equal(theirs["value"].reset_index(drop=True), expected["mean"].reset_index(drop=True), check_names=False)


def test_ppo_that_ran_on_is_cut_where_the_others_end_but_not_where_it_stands_alone(drawn_from, legible):
    study = make_study(
        seeds=(0, 1), learn_steps=12_000, per_environment={"minihack_keyroom_s15": {"training": {"own_steps": {"ppo": 90_000}}}}
    )
    rows = [
        ("minihack_keyroom_s15", "keyroom", method, seed, step, "score", 0.5)
        for method in study.learn
        for seed in (0, 1)
        for step in (6_000, 12_000)
    ]
    rows += [("minihack_keyroom_s15", "keyroom", "ppo", seed, 90_000, "score", 0.5) for seed in (0, 1)]
    scores = pd.DataFrame(rows, columns=["environment", "task", "method", "seed", "step", "metric", "value"])
    numbers = drawn_from("learn", study, scores).numbers
    assert numbers[numbers["source"] == "ours"]["step"].max() == 12_000
    alone = drawn_from("ppo_convergence", study, scores)
    numbers = alone.numbers
    legible(alone.figure)
    assert numbers[numbers["source"] == "ours"]["step"].max() == 90_000
    assert set(numbers["method"]) == {"ppo"}


@pytest.mark.parametrize("name", ["ppo_convergence", "head_start"])
def test_without_a_method_that_runs_on_nothing_stands_alone(name, at_full_scale, drawn_from):
    with pytest.raises(SenseiError, match="expected `training.own_steps` of one"):
        drawn_from(name, *at_full_scale)


def test_where_a_published_method_had_converged_its_curve_goes_on_dotted():
    dotted = {
        number: [line for axes in figure("learn").draw_published(number).figure.axes for line in axes.lines if line.get_linestyle() == ":"]
        for number in (7, 21)
    }
    assert not dotted[7]
    (line,) = dotted[21]
    assert line.get_color() == style.colour("sensei")
    assert line.get_xdata() == pytest.approx([550_000, 700_000]) and line.get_ydata() == pytest.approx([1, 1], abs=0.03)
