"""One update in other ways: by kernels chosen by hand, by the library's own, compiled; all must learn the same."""

import numpy as np
import pytest
import torch
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_close, both_ways

from sensei.kernels import convolutions, products
from sensei.kernels.convolutions import Down, Up
from sensei.kernels.products import library_kernels, product
from sensei.world_model import networks
from sensei.world_model.networks import gather_rows


def leaf(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).requires_grad_()


@pytest.mark.parametrize("shape", [(7, 5), (2, 3, 5)])
def test_products_are_products(monkeypatch, shape):
    monkeypatch.setattr(products, "SMALL", 0)
    x, weight, bias = leaf(*shape), leaf(5, 4), leaf(4)
    given, expected = both_ways(lambda: product(x, weight, bias), x, weight, bias)
    assert_close(given, expected)
    np.testing.assert_allclose(given[0], (x @ weight + bias).detach(), atol=1e-5)


def test_products_of_heads_are_products_of_each(monkeypatch):
    monkeypatch.setattr(products, "SMALL", 0)
    x, weight, bias = leaf(3, 7, 5), leaf(3, 5, 4), leaf(3, 4)
    given, expected = both_ways(lambda: products.products(x.transpose(0, 1).contiguous().transpose(0, 1), weight, bias), x, weight, bias)
    assert_close(given, expected)
    np.testing.assert_allclose(given[0][1], (x[1] @ weight[1] + bias[1]).detach(), atol=1e-5)


@pytest.mark.parametrize("outputs", [3, 16])
def test_a_transposed_convolution_side_by_side(outputs):
    layer, x = Up(6, outputs, bias=True), leaf(2, 6, 4, 5)
    assert outputs <= convolutions.FEW
    given, expected = both_ways(lambda: layer(x), x, *layer.parameters())
    assert given[0].shape == (2, outputs, 8, 10)
    assert_close(given, expected)


def test_a_convolution_whose_gradient_goes_back_side_by_side():
    layer, x = Down(6, 5), leaf(2, 6, 8, 4)
    assert_close(*both_ways(lambda: layer(x), x, *layer.parameters()))


def test_gathered_rows_get_the_gradient_of_the_dense_product():
    weight = leaf(12, 5)
    index = torch.randint(4, (9, 3), generator=torch.Generator().manual_seed(0))
    assert weight.numel() // 3 <= networks.SCATTER
    assert_close(*both_ways(lambda: gather_rows(index, weight), weight))


def assert_same_agent(given, expected, updates: list[tuple[dict, dict]]) -> None:
    """Losses of every update within 0.1 %, parameters within a hundredth of what an update may move them; one imagined state of 96 may
    lie on the threshold of the switch."""
    for ours, theirs in updates:
        for name in theirs:
            margin = 1.5 / 96 if name.endswith("explore_share") else 1e-3
            assert ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-3, abs=margin), name
    for (name, left), right in zip(given.named_parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(left.detach(), right.detach(), atol=1e-4, err_msg=name)


@pytest.mark.parametrize("discrete", [True, False])
def test_ten_updates_by_hand_chosen_kernels_are_those_of_the_library(monkeypatch, discrete):
    monkeypatch.setattr(products, "SMALL", 0)
    ours, plain, batch = dreamer(discrete, "explore"), dreamer(discrete, "explore"), arrays(discrete)
    updates = []
    for _ in range(10):
        given = ours.update(batch)
        with library_kernels():
            updates.append((given, plain.update(batch)))
    assert_same_agent(ours, plain, updates)


def test_nothing_is_compiled_on_a_cpu_by_default():
    assert not dreamer(True, "explore").one_update.captures
    assert dreamer(True, "explore").settings.training.compile == "auto"


@pytest.mark.slow
def test_ten_compiled_updates_are_the_eager_ones():
    eager, compiled, batch = dreamer(True, "explore"), dreamer(True, "explore"), arrays(True)
    compiled.compile_parts()
    updates = [(compiled.update(batch), eager.update(batch)) for _ in range(10)]
    assert_same_agent(compiled, eager, updates)
