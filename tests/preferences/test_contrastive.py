"""Contrastive pairs: one side of each kind, in random order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.preferences.pairs import draw_contrastive


@given(st.integers(1, 40), st.integers(1, 40), st.integers(0, 2**32))
@settings(deadline=None, max_examples=40)
def test_contrastive_pairs_have_one_side_of_each_kind(number_good, number_bad, seed):
    kinds = np.array([1] * number_good + [2] * number_bad + [0] * 5)
    number = min(number_good, number_bad)
    pairs = draw_contrastive(kinds == 1, kinds == 2, number, generator(seed))
    assert pairs.shape == (number, 2) and len(np.unique(pairs)) == 2 * number
    assert (np.sort(kinds[pairs], axis=1) == [1, 2]).all()
    np.testing.assert_array_equal(pairs, draw_contrastive(kinds == 1, kinds == 2, number, generator(seed)))


def test_the_good_side_is_the_first_as_often_as_the_second():
    kinds = np.arange(4000) % 2 + 1
    pairs = draw_contrastive(kinds == 1, kinds == 2, 2000, generator(0))
    assert abs((kinds[pairs[:, 0]] == 1).mean() - 0.5) < 0.05


@pytest.mark.parametrize(("good", "bad", "lacking"), [(2, 9, "very good"), (9, 2, "very bad")])
def test_too_few_states_of_a_kind_are_named(good, bad, lacking):
    kinds = np.array([1] * good + [2] * bad)
    with pytest.raises(SenseiError, match=f"not enough {lacking} states(.|\n)*found 2 among 11(.|\n)*pairs.kind: random"):
        draw_contrastive(kinds == 1, kinds == 2, 3, generator(0))
