"""Agreement measures against hand counts and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from sensei.preferences.agreement import accuracy, cohen_kappa, order_bias, proportion
from sensei.preferences.pair import Label

FIRST, SECOND, TIE, UNKNOWN = Label


def test_the_interval_is_wilsons():
    centre, half = (0.7 + 1.96**2 / 200) / (1 + 1.96**2 / 100), 1.96 * np.sqrt(0.7 * 0.3 / 100 + 1.96**2 / 4e4) / (1 + 1.96**2 / 100)
    measured = proportion(np.arange(100) < 70)
    assert measured["share"] == 0.7
    assert measured["count"] == 100
    assert measured["low"] == pytest.approx(centre - half, abs=1e-4)
    assert measured["high"] == pytest.approx(centre + half, abs=1e-4)


def test_nothing_to_count_is_none_not_zero():
    assert proportion(np.zeros(0, bool)) == {"share": None, "low": None, "high": None, "count": 0}
    assert cohen_kappa(np.zeros(0, int), np.zeros(0, int)) is None
    assert order_bias(np.array([TIE, UNKNOWN]))["share"] is None


def test_only_clear_answers_count_for_bias_and_accuracy():
    answers = np.array([FIRST, FIRST, SECOND, TIE, UNKNOWN, FIRST])
    reference = np.array([FIRST, SECOND, SECOND, FIRST, SECOND, UNKNOWN])
    assert order_bias(answers)["share"] == 0.75
    measured = accuracy(answers, reference)
    assert (measured["share"], measured["count"]) == (pytest.approx(2 / 3), 3)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=2, max_size=60))
@settings(deadline=None)
def test_kappa_is_that_of_scikit_learn(pairs):
    labels, reference = np.array(pairs).T
    if len(set(labels) | set(reference)) == 1:
        assert cohen_kappa(labels, reference) is None
    else:
        assert cohen_kappa(labels, reference) == pytest.approx(cohen_kappa_score(labels, reference))
