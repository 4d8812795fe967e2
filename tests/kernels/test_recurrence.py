"""The gates and the posterior scan in C against PyTorch's own operations."""

import pytest
import torch
import torch.nn.functional as F
from fakes.both_ways import assert_close, both_ways, leaf, refuse
from fakes.scans import SCANS, scan
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.kernels import recurrence
from sensei.kernels.recurrence import gated

pytestmark = pytest.mark.usefixtures("in_c")


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 9), st.sampled_from([16, 48, 128]), st.sampled_from([0.1, 10.0]))
def test_gates_of_the_recurrence(rows, units, scale):
    x, deter, weight, bias = leaf(rows, 3 * units, scale=scale), leaf(rows, units, seed=1), leaf(3 * units, seed=2), leaf(3 * units, seed=3)

    def plain():
        reset, candidate, update = F.layer_norm(x, (3 * units,), weight, bias, 1e-3).chunk(3, -1)
        return torch.lerp(deter, torch.tanh(torch.sigmoid(reset) * candidate), torch.sigmoid(update - 1))

    leaves = x, weight, bias, deter
    ours, fallback = both_ways(lambda: gated(*leaves), *leaves)
    _, theirs = both_ways(plain, *leaves)
    assert_close(ours, theirs)
    assert_close(fallback, theirs)


@pytest.mark.parametrize("shape", SCANS)
def test_the_posterior_scan_and_its_gradient(monkeypatch, shape):
    observe, *leaves = scan(*shape)
    assert_close(*both_ways(observe, *leaves))
    monkeypatch.setattr(recurrence, "_by_pytorch", refuse)
    observe()
