"""The published values: which figure holds which environment is asked of the tables themselves."""

import pytest

from sensei.analysis import published


def test_early_checkpoints_are_those_of_the_logs():
    table = published.early_checkpoints("robodesk").set_index(["method", "metric"])
    assert table.loc[("plan2explore", "drawer"), ["mean", "error"]].round().tolist() == [1580, 279]
    assert table.loc[("sensei_general", "buttons"), ["mean", "error"]].round().tolist() == [1431, 581]
    assert (table["seeds"] == 3).all() and table["steps"].between(240_000, 260_000).all()
    assert published.early_checkpoints("keyroom").empty


@pytest.mark.parametrize("number", [7, 13, 21])
def test_a_figure_of_curves_has_one_axis_and_one_smoothing(number):
    curves = published.curves(number)
    assert curves["x_name"].nunique() == curves["smoothing"].nunique() == 1


def test_figures_can_be_asked_for_together():
    assert set(published.curves(7, 21)["environment"]) == {"keyroom", "keychest", "robodesk"}
    assert len(published.bars(5, 6)) == len(published.bars(5)) + len(published.bars(6))
    assert len(published.bars()) == 384 and len(published.curves()) == 544


def test_whatever_is_drawn_has_a_title():
    titles = published.titles()
    tables = published.bars(5, 6, 15, 16), published.curves(7, 13, 21), published.early_checkpoints("robodesk")
    named = {name for table in tables for column in ("environment", "method") for name in table[column]}
    assert named | set(published.label_shares()["annotator"]) == set(titles)
