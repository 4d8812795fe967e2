"""LayerNorm with SiLU in C against PyTorch's own operations: values, gradients, heads, odd widths, numbers that are none."""

import pytest
import torch
from fakes.both_ways import assert_close, both_ways, leaf, refuse
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.kernels import norm
from sensei.world_model.networks import BatchedMLP, NormSiLU

pytestmark = pytest.mark.usefixtures("in_c")
WIDTHS = (8, 16, 32, 48, 64, 128, 384)


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 40), st.sampled_from(WIDTHS), st.sampled_from([1e-3, 1.0, 1e4]), st.integers(0, 9))
def test_layer_norm_with_silu(rows, width, scale, seed):
    layer, x = NormSiLU(width), leaf(rows, width, scale=scale, seed=seed)
    with torch.no_grad():
        layer.weight.copy_(leaf(width, seed=seed + 1)), layer.bias.copy_(leaf(width, scale=20, seed=seed + 2))
    assert_close(*both_ways(lambda: layer(x), x, *layer.parameters()))


def test_layer_norm_of_several_heads_whose_rows_lie_apart():
    critics = BatchedMLP(3, 16, 8, 0, 32, 2, 5)
    x, index = leaf(7, 16), torch.zeros(7, 2, dtype=torch.int64)
    assert_close(*both_ways(lambda: critics(x, index), x, *critics.parameters()))


@pytest.mark.parametrize("width", [8, 64])
def test_a_nan_stays_in_its_row(width):
    x = torch.ones(3, width)
    x[1, 2] = float("nan")
    assert NormSiLU(width)(x).isnan().all(-1).tolist() == [False, True, False]


def test_widths_that_fill_no_vector_are_left_to_pytorch(monkeypatch):
    monkeypatch.setattr(norm, "call", refuse)
    assert NormSiLU(12)(torch.ones(2, 12)).shape == (2, 12)
