"""Lambda-returns and return scales against numpy ."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.agents.returns import ReturnScale, lambda_return


def recursion(reward: np.ndarray, value: np.ndarray, discount: np.ndarray, lambda_: float) -> np.ndarray:
    """G_t = r_{t+1} + c_{t+1} ((1 - lambda) v_{t+1} + lambda G_{t+1}); r, c indexed by the step, v by the state."""
    horizon = len(reward)
    returns = np.empty_like(reward)
    following = value[horizon]
    for t in range(horizon - 1, -1, -1):
        following = reward[t] + discount[t] * ((1 - lambda_) * value[t + 1] + lambda_ * following)
        returns[t] = following
    return returns


def mixture(reward: np.ndarray, value: np.ndarray, discount: np.ndarray, lambda_: float) -> np.ndarray:
    """Closed form: the n-step returns weighted with (1 - lambda) lambda^(n - 1), the longest with the rest."""
    horizon = len(reward)
    returns = np.zeros_like(reward)
    for t in range(horizon):
        longest = horizon - t
        for n in range(1, longest + 1):
            n_step = sum(np.prod(discount[t : t + i], axis=0) * reward[t + i] for i in range(n))
            n_step = n_step + np.prod(discount[t : t + n], axis=0) * value[t + n]
            returns[t] += (lambda_ ** (n - 1) if n == longest else (1 - lambda_) * lambda_ ** (n - 1)) * n_step
    return returns


@settings(deadline=None, max_examples=40)
@given(st.integers(1, 6), st.integers(1, 4), st.integers(1, 3), st.sampled_from([0.0, 0.3, 0.95, 1.0]), st.integers(0, 10_000))
def test_lambda_return_is_the_recursion_and_the_mixture_of_n_step_returns(horizon, rows, sources, lambda_, seed):
    rng = np.random.default_rng(seed)
    reward, value = rng.normal(size=(sources, horizon, rows)), rng.normal(size=(sources, horizon + 1, rows))
    discount = 0.997 * rng.integers(0, 2, (horizon, rows)) * rng.random((horizon, rows))
    returns = lambda_return(torch.from_numpy(reward), torch.from_numpy(value), torch.from_numpy(discount), lambda_).numpy()
    for source in range(sources):
        np.testing.assert_allclose(returns[source], recursion(reward[source], value[source], discount, lambda_), atol=1e-10)
        np.testing.assert_allclose(returns[source], mixture(reward[source], value[source], discount, lambda_), atol=1e-10)


def test_lambda_return_of_a_true_value_is_that_value():
    discount = torch.full((15, 2), 1 - 1 / 333, dtype=torch.float64)
    returns = lambda_return(torch.ones(15, 2, dtype=torch.float64), torch.full((16, 2), 333.0, dtype=torch.float64), discount, 0.95)
    np.testing.assert_allclose(returns.numpy(), 333, rtol=1e-9)


def test_nothing_counts_after_the_end_of_an_episode():
    reward, value = torch.tensor([[1.0], [2.0], [50.0]]), torch.full((4, 1), 70.0)
    returns = lambda_return(reward, value, torch.tensor([[0.5], [0.0], [0.9]]), 1.0)
    assert returns[:2, 0].tolist() == pytest.approx([1 + 0.5 * 2, 2])


def test_return_scale_is_the_running_range_of_each_source_and_at_least_one():
    rng = np.random.default_rng(0)
    scale = ReturnScale([1.0] * 3, 0.9)
    low, high = np.zeros(3), np.zeros(3)
    for update in range(30):
        returns = rng.normal(size=(3, 4, 25)) * np.array([0.01, 3, 50])[:, None, None] + update
        low = 0.9 * low + 0.1 * np.percentile(returns.reshape(3, -1), 5, axis=1)
        high = 0.9 * high + 0.1 * np.percentile(returns.reshape(3, -1), 95, axis=1)
        given = scale(torch.from_numpy(returns))
        assert given.shape == (3, 1, 1)
        np.testing.assert_allclose(given[:, 0, 0].numpy(), np.maximum(1, high - low), rtol=1e-4)
    assert given[0].item() == 1
    assert given[1].item() > 5
    assert given[2].item() > 50


def test_return_scale_passes_no_gradient():
    returns = torch.randn(1, 3, 5, requires_grad=True)
    assert not ReturnScale([1.0], 0.99)(returns).requires_grad


def test_corrected_scales_do_not_remember_that_they_began_at_zero():
    returns = 50 * torch.randn(1, 4, 25, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    span = np.subtract(*np.percentile(returns.numpy(), (95, 5)))
    raw, corrected = ReturnScale([1.0], 0.99), ReturnScale([1.0], 0.99, corrected=True)
    for update in range(1, 4):
        assert raw(returns).item() == pytest.approx(max(1, (1 - 0.99**update) * span), rel=1e-4)
        assert corrected(returns).item() == pytest.approx(span, rel=1e-4)
    assert int(corrected.state_dict()["updates"]) == 3


def test_a_source_has_a_floor_of_its_own():
    scale = ReturnScale([1.0, 0.05, 0.001], 0.9)
    returns = torch.tensor([0.1, 0.1, 0.1]).view(3, 1, 1) * torch.linspace(0, 1, 101)
    assert scale(returns).flatten().tolist() == pytest.approx([1, 0.05, 0.009])
