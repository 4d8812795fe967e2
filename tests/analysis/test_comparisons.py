"""Tables that compare methods, on tables of scores with known answers; the choice of error bars; the performance profile."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from fakes.analysis_tree import make_study

from sensei.analysis import comparisons
from sensei.analysis.figures import captions, contract, registry
from sensei.analysis.scores import COLUMNS

KEYROOM, CHEST = "minihack_keyroom_s15", "minihack_keychest"
DELAYS = {"sensei": 1_000, "plan2explore": 2_000, "dreamerv3": 4_000, "ppo": np.inf}  # steps to a score of 1, along a line
SEEDS = (0, 1, 2)


@pytest.fixture(scope="module")
def study():
    return make_study((KEYROOM, CHEST), SEEDS)


@pytest.fixture(scope="module")
def scores(study) -> pd.DataFrame:
    """Curves that rise along lines, final scores that differ by a tenth from method to method, doors that differ from seed to seed."""
    rows = []
    for environment, task in ((KEYROOM, "keyroom"), (CHEST, "keychest")):
        for rank, (method, delay) in enumerate(DELAYS.items()):
            for seed in SEEDS:
                curve = [(step, "score", min(1.0, step / delay)) for step in range(0, 12_001, 500)]
                final = (12_000, "final_score", 1 - 0.1 * rank - 0.01 * seed)
                rows += [(environment, task, method, seed, *row) for row in [*curve, final]]
        for rank, method in enumerate(study.explore):
            for seed in SEEDS:
                events = study.settings[environment].environment.events
                rows += [(environment, "explore", method, seed, 20_000, event, 10.0 * rank + seed**2) for event in events]
    return pd.DataFrame(rows, columns=COLUMNS)


def test_aggregates(study, scores):
    table = comparisons.aggregates(study, scores).set_index("method")
    assert table["mean"].to_dict() == pytest.approx({"sensei": 0.99, "plan2explore": 0.89, "dreamerv3": 0.79, "ppo": 0.69})
    assert table["optimality_gap"].to_dict() == pytest.approx({name: 1 - value for name, value in table["mean"].items()})
    assert (table["interquartile_mean_low"] <= table["interquartile_mean"]).all() and (table["seeds"] == 3).all()
    assert (table["tasks"] == 2).all()
    alone = comparisons.aggregates(study, scores[scores["seed"] == 0]) if study.allow_partial else None
    assert alone is None


def test_differences_of_events_and_scores(study, scores):
    table = comparisons.differences(study, scores).set_index(["environment", "quantity", "method", "other"])
    row = table.loc[KEYROOM, "door_opened", "sensei", "plan2explore"]
    values = np.array([0.0, 1, 4])
    expected = scipy.stats.ttest_ind(values, values + 10, equal_var=False).confidence_interval()
    assert row["difference"] == -10 and row["better"] == 0 and (row["steps"], row["other_steps"]) == (20_000, 20_000)
    assert (row["low"], row["high"]) == pytest.approx((expected.low, expected.high))
    pooled = table.loc[comparisons.ALL, "score", "sensei", "ppo"]
    assert pooled["difference"] == pytest.approx(0.3) and pooled["low"] > 0.28 and pooled["better"] == 1
    of_task = table.loc[CHEST, "score of keychest", "sensei", "ppo"]
    assert of_task["high"] - of_task["low"] > pooled["high"] - pooled["low"]
    pairs = table.index.to_frame()
    assert len(table) == 2 * 4 * (5 * 4 // 2) + 3 * (4 * 3 // 2) and (pairs["method"] != pairs["other"]).all()


def test_one_seed_has_no_interval():
    study = make_study(seeds=(0,))
    rows = [(KEYROOM, "keyroom", method, 0, 12_000, "final_score", 0.5) for method in study.learn]
    rows += [(KEYROOM, "explore", method, 0, 20_000, event, 1.0) for method in study.explore for event in ("door_opened",)]
    scores = pd.DataFrame(rows, columns=COLUMNS)
    for table in (comparisons.differences(study, scores), comparisons.aggregates(study, scores)):
        ends = [column for column in table if column.endswith(("low", "high"))]
        assert len(table) and len(ends) >= 4 and table[ends].isna().all(axis=None)
    assert comparisons.efficiency(study, scores).query("source == 'ours'").empty


def test_steps_to_a_score(study, scores):
    table = comparisons.efficiency(study, scores)
    ours = table[(table["source"] == "ours") & (table["environment"] == KEYROOM)].set_index(["score", "counted", "other"])
    row = ours.loc[0.8, "task steps", "dreamerv3"]
    assert (row["steps"], row["other_steps"], row["ratio"]) == pytest.approx((800, 3_200, 4)) and row["low"] == row["high"] == row["ratio"]
    whole = ours.loc[0.8, "all steps", "plan2explore"]
    assert whole["ratio"] == pytest.approx((20_000 + 1_600) / (20_000 + 800))
    assert ours.loc[0.8, "all steps", "dreamerv3"]["ratio"] == pytest.approx(3_200 / 20_800)
    never = ours.loc[0.8, "task steps", "ppo"]
    assert np.isnan(never["ratio"]) and never["at_least"] == pytest.approx(12_000 / 800) and np.isinf(never["high"])
    assert np.isnan(never["other_steps"]) and never["other_most_steps"] == 12_000


def test_published_curves_give_one_to_two_orders_of_magnitude(study, scores):
    """Against PPO, on KeyRoom, as the paper compares."""
    table = comparisons.efficiency(study, scores).query("source == 'published' and environment == @KEYROOM").set_index(["score", "other"])
    assert 10 < table.loc[(0.5, "ppo"), "ratio"] < 200 and 10 < table.loc[(0.8, "ppo"), "ratio"] < 200
    assert 1 < table.loc[(0.5, "plan2explore"), "ratio"] < table.loc[(0.5, "dreamerv3"), "ratio"] < 10
    assert table[["low", "high"]].isna().all(axis=None)


@pytest.mark.parametrize(
    "kind, keyroom, robodesk",
    [
        ("bootstrap", "95 % bootstrap", "95 % bootstrap"),
        ("standard_error", "standard error", "standard error"),
        ("standard_deviation", "standard deviation", "standard deviation"),
        ("published", "standard error", "standard deviation"),
    ],
)
def test_error_bars_are_as_the_study_says(kind, keyroom, robodesk):
    study = make_study((KEYROOM, "robodesk"), error_bars=kind)
    assert captions.error_kind(study, KEYROOM, (5, 6)) == keyroom
    assert captions.error_kind(study, "robodesk", (16,)) == robodesk


@pytest.mark.parametrize(
    "kind, name, said", [("standard_deviation", "± SD", "one standard deviation"), ("published", "± SE", "standard error")]
)
def test_error_bars_are_named_on_the_picture(kind, name, said, scores):
    study = make_study((KEYROOM, CHEST), SEEDS, error_bars=kind)
    with contract.style.styled():
        bars = registry.figure("interactions").draw(study, scores)
        curves = registry.figure("learn").draw(study, scores)
    assert any(name in text.get_text() for text in bars.figure.texts)
    assert name in [text.get_text() for text in curves.figure.legends[0].get_texts()]
    means = bars.numbers.query("source == 'ours' and drawn == 'mean'")
    width = np.std([0, 1, 4]) / (1 if kind == "standard_deviation" else np.sqrt(3))
    assert (means["high"] - means["value"]).tolist() == pytest.approx([width] * len(means))
    assert set(means["band"]) == {"standard deviation" if kind == "standard_deviation" else "standard error"}
    assert said in bars.caption and "bootstrap" not in bars.caption


def test_performance_profile(study, scores, legible):
    with contract.style.styled():
        drawing = registry.figure("performance_profile").draw(study, scores)
    table = drawing.numbers.set_index("step")
    ours = table[table["method"] == "ppo"]["value"]
    assert ours.iloc[0] == 1 and ours.loc[0.68] == pytest.approx(2 / 3, abs=0.34) and ours.loc[0.75] == 0
    assert (table["low"] <= table["value"]).all() and (table["value"] <= table["high"]).all()
    assert "2 tasks, each weighing the same" in drawing.caption
    legible(drawing.figure)
