"""Percentiles against numpy's."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from sensei.exploration.statistics import percentiles


@settings(deadline=None)
@given(arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e3, 1e3, width=32)), st.lists(st.floats(0, 1), min_size=1, max_size=4))
def test_percentiles_are_numpys(values, fractions):
    given_values = percentiles(torch.from_numpy(values), tuple(fractions)).numpy()
    expected = np.percentile(values.astype(np.float64), 100 * np.array(fractions))
    np.testing.assert_allclose(given_values, expected, atol=0.05, rtol=1e-4)
