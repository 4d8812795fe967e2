"""Figures of bars: interactions, and rewards of tasks, during exploration."""

import pandas as pd
import pytest
from fakes.analysis_tree import make_study

from sensei.analysis import published, style
from sensei.analysis.figures.registry import figure
from sensei.analysis.scores import read_scores
from sensei.core.errors import SenseiError


def test_every_run_is_shown(study, layout, drawn):
    scores = read_scores(layout.scores)
    numbers = drawn("interactions", study, layout).numbers
    ours = numbers[numbers["source"] == "ours"]
    runs = ours[(ours["drawn"] == "seed") & (ours["metric"] == "door_opened") & (ours["method"] == "sensei")]
    expected = scores[(scores["metric"] == "door_opened") & (scores["method"] == "sensei")]
    assert runs["value"].tolist() == expected["value"].tolist()
    mean = ours[(ours["drawn"] == "mean") & (ours["metric"] == "door_opened") & (ours["method"] == "sensei")].iloc[0]
    assert mean["value"] == pytest.approx(expected["value"].mean())
    assert expected["value"].min() <= mean["low"] <= mean["value"] <= mean["high"] <= expected["value"].max()


def test_bars_lines_and_points_are_the_numbers(study, layout, drawn):
    drawing = drawn("interactions", study, layout)
    numbers = drawing.numbers[drawing.numbers["source"] == "ours"]
    axes = drawing.figure.axes[0]
    table = numbers[numbers["metric"] == axes.get_title(loc="left").replace(" ", "_")]
    order = style.ordered(table["method"])
    means = table[table["drawn"] == "mean"].set_index("method").loc[order]
    assert [bar.get_width() for bar in axes.patches] == means["value"].tolist()
    assert [tuple(line.get_xdata()) for line in axes.lines] == list(zip(means["low"], means["high"], strict=True))
    points = sorted(point for strip in axes.collections for point in strip.get_offsets()[:, 0])
    assert points == sorted(table.loc[table["drawn"] == "seed", "value"])
    assert [bar.get_facecolor() for bar in axes.patches] == [pytest.approx(_rgba(style.colour(method))) for method in order]


def _rgba(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)) + (1.0,)


def assert_published_bars(numbers: pd.DataFrame) -> None:
    """Published rows are the bars of the paper's Figure 5, with its errors."""
    bars = published.bars(5).set_index(["environment", "metric", "method"])
    theirs = numbers[numbers["source"] == "published"]
    assert len(theirs)
    for _, row in theirs.iterrows():
        bar = bars.loc[row["environment"], row["metric"], row["method"]]
        assert (row["value"], row["steps"], row["seeds"]) == (bar["mean"], 500_000, 10)
        assert row["high"] - row["low"] == pytest.approx(2 * bar["error"])


def test_published_bars_of_other_steps_have_a_row_of_their_own(study, layout, drawn):
    drawing = drawn("interactions", study, layout)
    assert_published_bars(drawing.numbers)
    assert len(drawing.figure.axes) == 8
    assert drawing.numbers.groupby("panel")["source"].nunique().max() == 1
    assert "own" in drawing.caption and "paper's gate" in drawing.caption and "released code's gate" in drawing.caption


def test_published_bars_of_the_same_steps_stand_beside_ours(at_full_scale, drawn_from):
    drawing = drawn_from("interactions", *at_full_scale)
    assert_published_bars(drawing.numbers)
    assert len(drawing.figure.axes) == 8
    assert drawing.numbers.groupby("panel")["source"].nunique().min() == 2
    labels = [label.get_text() for label in drawing.figure.axes[0].get_yticklabels()]
    assert labels[:2] == ["SENSEI", "SENSEI, published"]


def test_an_environment_that_was_not_published_has_no_published_panel(of_robodesk, drawn_from):
    study, scores = of_robodesk()
    smaller = make_study(("minihack_keyroom_s5",), study.seeds, 5_000, 4_000)
    events = smaller.settings["minihack_keyroom_s5"].environment.events
    rows = [
        ("minihack_keyroom_s5", "explore", method, seed, 5_000, event, 1.0)
        for method in smaller.explore
        for seed in (0, 1)
        for event in events
    ]
    rows += [("minihack_keyroom_s5", "keyroom_s5", method, seed, 4_000, "score", 1.0) for method in smaller.learn for seed in (0, 1)]
    for name in ("interactions", "learn"):
        numbers = drawn_from(name, smaller, pd.DataFrame(rows, columns=scores.columns)).numbers
        assert set(numbers["source"]) == {"ours"}


@pytest.mark.slow
def test_robodesk_figures_are_legible_and_keep_published_values_apart(of_robodesk, drawn_from, legible):
    study, scores = of_robodesk()
    for name, panels in (("interactions", 3 * 6), ("task_rewards", 2 * 18), ("open_drawer_light", 2), ("learn", 2 * 3)):
        drawing = drawn_from(name, study, scores)
        legible(drawing.figure)
        assert len([axes for axes in drawing.figure.axes if axes.axison]) == panels, name
        assert drawing.numbers.groupby("panel")["source"].nunique().max() == 1, "published values are on our axes"
        assert set(drawing.numbers["source"]) == {"ours", "published"}


def test_buttons_are_the_sum_of_three_per_seed(of_robodesk, drawn_from):
    study, scores = of_robodesk()
    events = study.settings["robodesk"].environment.events
    numbers = drawn_from("interactions", study, scores).numbers
    ours = numbers[
        (numbers["source"] == "ours") & (numbers["metric"] == "buttons") & (numbers["method"] == "sensei") & (numbers["drawn"] == "seed")
    ]
    first = sum(10 * events.index(f"{colour}_button_moved") for colour in ("red", "green", "blue"))
    assert ours["value"].tolist() == [first, first + 3]


def test_at_the_papers_steps_robodesk_shares_its_axes(of_robodesk, drawn_from, legible):
    drawing = drawn_from("interactions", *of_robodesk((0, 1, 2), 1_000_000, 1_000_000))
    assert "5K steps" not in " ".join(drawing.numbers["panel"]) and any("hatched" in title for title in drawing.numbers["panel"])
    legible(drawing.figure)


@pytest.mark.parametrize("name", ["task_rewards", "open_drawer_light"])
def test_task_rewards_that_nobody_counts_are_refused(name, study, layout):
    with pytest.raises(SenseiError, match="expected an environment with task_.* among its `events`"):
        figure(name).draw(study, read_scores(layout.scores))
