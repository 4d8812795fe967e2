"""Matrix products by oneDNN, and gathered rows, against PyTorch's own."""

import numpy as np
import pytest
import torch
from fakes.both_ways import assert_close, both_ways, leaf

from sensei.kernels import products
from sensei.kernels.products import gather_rows, product


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


def test_gathered_rows_get_the_gradient_of_the_dense_product():
    weight = leaf(12, 5)
    index = torch.randint(4, (9, 3), generator=torch.Generator().manual_seed(0))
    assert weight.numel() // 3 <= products.SCATTER
    assert_close(*both_ways(lambda: gather_rows(index, weight), weight))


@pytest.mark.parametrize("outputs", [5, 16, 144])
@pytest.mark.parametrize("learned", [True, False])
def test_gathered_rows_are_added_to_a_base(outputs, learned):
    weight, base = leaf(12, outputs).requires_grad_(learned), leaf(9, outputs, seed=1)
    index = torch.randint(4, (9, 3), generator=torch.Generator().manual_seed(0))
    assert_close(*both_ways(lambda: gather_rows(index, weight, base), base, *([weight] if learned else [])))
    vectors = torch.nn.functional.one_hot(index, 4).flatten(1).float()
    with torch.no_grad():
        np.testing.assert_allclose(gather_rows(index, weight, base), base + vectors @ weight, atol=1e-5)
