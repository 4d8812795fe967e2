"""Transposed convolutions as ordinary ones whose pixels are put side by side."""

import pytest
from fakes.both_ways import assert_close, both_ways, leaf

from sensei.kernels import convolutions
from sensei.world_model.networks import Down, Up


@pytest.mark.parametrize("outputs", [3, 16])
def test_a_transposed_convolution_side_by_side(outputs):
    layer, x = Up(6, outputs, bias=True), leaf(2, 6, 4, 5)
    assert outputs <= max(convolutions.FEW)
    given, expected = both_ways(lambda: layer(x), x, *layer.parameters())
    assert given[0].shape == (2, outputs, 8, 10)
    assert_close(given, expected)


def test_a_convolution_whose_gradient_goes_back_side_by_side():
    layer, x = Down(6, 5), leaf(2, 6, 8, 4)
    assert_close(*both_ways(lambda: layer(x), x, *layer.parameters()))
