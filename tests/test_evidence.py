"""What the documentation says of the laptop study is what its committed scores say."""

import pandas as pd
import pytest
from helpers import ROOT
from scipy import stats

KEYROOM, FIRST_HALF, LAST = "keyroom_s5", 6_000, 3
PAGE = (ROOT / "docs" / "reproduction.md").read_text()
README = (ROOT / "README.md").read_text()


@pytest.fixture(scope="module")
def scores() -> pd.DataFrame:
    return pd.read_csv(ROOT / "docs" / "evidence" / "laptop" / "scores.csv")


def totals(scores: pd.DataFrame, method: str, event: str) -> pd.Series:
    """Of each seed's exploration run."""
    chosen = (scores["task"] == "explore") & (scores["method"] == method) & (scores["metric"] == event)
    return scores[chosen].set_index("seed")["value"]


def curves(scores: pd.DataFrame, method: str) -> pd.DataFrame:
    """Task scores, a row for each number of steps and a column for each seed."""
    chosen = (scores["task"] == KEYROOM) & (scores["method"] == method) & (scores["metric"] == "score")
    return scores[chosen].pivot(index="step", columns="seed", values="value")


def difference(first: pd.Series, second: pd.Series, digits: int) -> str:
    """As the page writes it: 15.0 [3.4, 26.6]."""
    interval = stats.ttest_ind(first, second, equal_var=False).confidence_interval(0.95)
    numbers = (f"{number:,.{digits}f}" for number in (first.mean() - second.mean(), *interval))
    return "{} [{}, {}]".format(*numbers)


def row(claim: str) -> str:
    """The line of the page's table that begins with `claim`."""
    (line,) = [line for line in PAGE.splitlines() if line.startswith(f"| {claim}")]
    return line


@pytest.mark.parametrize(
    "claim, event, first, second, digits",
    [
        ("SENSEI opens more doors", "door_opened", "sensei", "plan2explore", 1),
        ("SENSEI is more often beside the exit (", "next_to_exit", "sensei", "plan2explore", 0),
        ("SENSEI earns more rewards", "environment_reward", "sensei", "plan2explore", 1),
        ("SENSEI takes more keys", "key_picked_up", "sensei", "plan2explore", 1),
        ("SENSEI is more often beside the exit than random", "next_to_exit", "sensei", "random", 0),
        ("Plan2Explore is, too", "next_to_exit", "plan2explore", "random", 0),
        ("VLM-Motif takes keys", "environment_reward", "vlm_motif", "sensei", 1),
    ],
)
def test_counts_of_the_table_are_those_of_the_runs(scores, claim, event, first, second, digits):
    one, other = totals(scores, first, event), totals(scores, second, event)
    assert len(one) == len(other) == 5
    said = row(claim)
    assert difference(one, other, digits) in said
    assert f"{one.mean():,.{digits}f}" in said and f"{other.mean():,.{digits}f}" in said
    low = stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95).low
    assert said.endswith("| holds |") == (low > 0)


@pytest.mark.parametrize(
    "claim, first, second",
    [
        ("SENSEI's world model learns the task before DreamerV3", "sensei", "dreamerv3"),
        ("and before PPO (Fig. 7)", "sensei", "ppo"),
        ("Plan2Explore's, before DreamerV3", "plan2explore", "dreamerv3"),
        ("and before PPO |", "plan2explore", "ppo"),
        ("SENSEI's learns it before Plan2Explore's", "sensei", "plan2explore"),
    ],
)
def test_scores_of_the_table_are_those_of_the_runs(scores, claim, first, second):
    one, other = (curves(scores, method).loc[:FIRST_HALF].mean() for method in (first, second))
    said = row(claim)
    assert f"{one.mean():.2f} and {other.mean():.2f}" in said
    assert difference(one, other, 2) in said
    assert ("holds" in said) == (stats.ttest_ind(one, other, equal_var=False).confidence_interval(0.95).low > 0)


@pytest.mark.parametrize(
    "method, title", [("sensei", "SENSEI"), ("plan2explore", "Plan2Explore"), ("dreamerv3", "DreamerV3"), ("ppo", "PPO")]
)
def test_the_readme_says_what_the_last_scores_were(scores, method, title):
    final = curves(scores, method).iloc[-LAST:].mean()
    assert f"{final.mean():.2f}" in README, title
    if final.min() < final.max():
        assert f"{final.mean():.2f} [{final.min():.2f}, {final.max():.2f}]" in PAGE


def test_the_readme_says_what_exploration_found(scores):
    doors = [totals(scores, method, "door_opened") for method in ("sensei", "plan2explore")]
    assert f"SENSEI opens {difference(*doors, 0)} doors more than Plan2Explore" in " ".join(README.split())
    beside = [totals(scores, method, "next_to_exit").mean() for method in ("sensei", "plan2explore")]
    assert beside[0] / beside[1] == pytest.approx(3, abs=0.1) and "three times as often beside the exit" in " ".join(README.split())
