"""Distributions against numpy versions written from the formulas."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sensei.kernels.categorical import sample_index, straight_through
from sensei.world_model.distributions import (
    categorical_entropy,
    categorical_kl,
    log_probabilities,
    symexp,
    symlog,
    two_hot_loss,
    two_hot_mean,
)

BINS = np.linspace(-20, 20, 255)
LARGEST = np.expm1(20.0)


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def two_hot(target: float) -> np.ndarray:
    """Mass on the two bins around symlog(target), in proportion to nearness; all on the outermost one beyond the limits."""
    value = np.clip(np.sign(target) * np.log1p(abs(target)), -20, 20)
    above = min(int(np.searchsorted(BINS, value, side="right")), 254)
    below = above - 1
    share = (value - BINS[below]) / (BINS[above] - BINS[below])
    vector = np.zeros(255)
    vector[below], vector[above] = 1 - share, share
    return vector


@given(st.floats(-1e6, 1e6, width=32))
def test_symexp_is_the_inverse_of_symlog(x):
    assert symexp(symlog(torch.tensor(x))).item() == pytest.approx(x, rel=1e-4, abs=1e-6)
    assert symlog(torch.tensor(x)).item() == pytest.approx(np.sign(x) * np.log(1 + abs(x)), rel=1e-5, abs=1e-7)


@settings(deadline=None, max_examples=60)
@given(st.floats(-1e12, 1e12) | st.floats(-3, 3), st.integers(0, 1000))
def test_two_hot_loss_is_the_cross_entropy_with_the_two_hot_vector(target, seed):
    logits = np.random.default_rng(seed).normal(size=255)
    expected = -(two_hot(target) * np.log(softmax(logits))).sum()
    log_p = torch.log_softmax(torch.from_numpy(logits).float(), -1)
    assert two_hot_loss(log_p, torch.tensor(target, dtype=torch.float32)).item() == pytest.approx(expected, abs=2e-3)


@pytest.mark.parametrize(("target", "index"), [(1e10, 254), (-1e10, 0), (LARGEST, 254), (0.0, 127)])
def test_two_hot_target_on_a_bin_or_beyond_the_limits_is_one_bin(target, index):
    log_p = torch.log_softmax(torch.randn(255, generator=torch.Generator().manual_seed(0)), -1)
    assert two_hot_loss(log_p, torch.tensor(target)).item() == pytest.approx(-log_p[index].item(), abs=1e-3)


@pytest.mark.parametrize("target", [-1e4, -37.5, -0.3, 0.0, 1e-3, 0.99, 8.0, 123.4, 1e5])
def test_two_hot_round_trip(target):
    log_p = torch.from_numpy(np.log(np.maximum(two_hot(target), 1e-30))).float()
    assert two_hot_mean(log_p).item() == pytest.approx(target, rel=2e-3, abs=1e-4)


def test_two_hot_mean_is_symexp_of_the_mean_bin():
    logits = np.random.default_rng(0).normal(size=(5, 255)) * 2
    inner = softmax(logits) @ BINS
    expected = np.sign(inner) * np.expm1(np.abs(inner))
    np.testing.assert_allclose(two_hot_mean(torch.from_numpy(logits).float()).numpy(), expected, rtol=1e-4, atol=1e-5)
    assert two_hot_mean(torch.zeros(255)).item() == pytest.approx(0, abs=1e-5)


def test_two_hot_gradient_pulls_the_softmax_to_the_two_hot_vector():
    logits = torch.randn(255, generator=torch.Generator().manual_seed(1), requires_grad=True)
    two_hot_loss(torch.log_softmax(logits, -1), torch.tensor(3.7)).backward()
    np.testing.assert_allclose(logits.grad.numpy(), softmax(logits.detach().numpy()) - two_hot(3.7), atol=1e-4)


@given(st.integers(0, 100), st.integers(2, 9), st.sampled_from([0.0, 0.01, 0.5]))
def test_uniform_mix(seed, classes, mix):
    logits = 5 * np.random.default_rng(seed).normal(size=(3, classes))
    probabilities = log_probabilities(torch.from_numpy(logits), mix).exp().numpy()
    np.testing.assert_allclose(probabilities, (1 - mix) * softmax(logits) + mix / classes, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(probabilities.sum(-1), 1, rtol=1e-5)
    assert (probabilities >= mix / classes * 0.999).all()


def test_samples_follow_the_probabilities():
    probabilities = torch.tensor([0.05, 0.5, 0.0, 0.3, 0.15])
    uniform = torch.rand(20_000, generator=torch.Generator().manual_seed(0))
    counts = np.bincount(sample_index(probabilities.expand(20_000, -1), uniform).numpy(), minlength=5)
    assert counts[2] == 0
    expected = counts.sum() * probabilities.double().numpy()
    assert chisquare(np.delete(counts, 2), np.delete(expected, 2), sum_check=False).pvalue > 1e-3


@given(st.lists(st.integers(0, 16), min_size=2, max_size=6).filter(any), st.integers(0, 15))
def test_sample_is_the_inverse_of_the_cumulative_distribution(parts, sixteenth):
    """Unnormalised weights in sixteenths make every comparison exact."""
    weights = np.array(parts) / 16
    uniform = sixteenth / 16
    expected = int(np.argmax(np.cumsum(weights) > uniform * weights.sum()))
    index = int(sample_index(torch.tensor(weights, dtype=torch.float64), torch.tensor(uniform, dtype=torch.float64)))
    assert index == expected
    assert weights[index] > 0


def test_samples_at_the_edges_of_the_uniform():
    largest = 1 - torch.finfo(torch.float32).eps / 2
    probabilities = torch.softmax(torch.randn(200, 32, generator=torch.Generator().manual_seed(0)), -1)
    padded = torch.cat([torch.zeros(200, 1), probabilities, torch.zeros(200, 1)], -1)
    assert (sample_index(padded, torch.zeros(200)) == 1).all()
    assert (sample_index(padded, torch.full((200,), largest)) == 32).all()


def test_straight_through_shows_the_sample_and_passes_the_gradient_of_the_probabilities():
    weight = torch.randn(2, 4, generator=torch.Generator().manual_seed(0))
    logits = torch.randn(2, 4, generator=torch.Generator().manual_seed(1), requires_grad=True)
    sample = straight_through(torch.tensor([3, 0]), torch.softmax(logits, -1))
    np.testing.assert_allclose(sample.detach().numpy(), [[0, 0, 0, 1], [1, 0, 0, 0]], atol=1e-6)
    (gradient,) = torch.autograd.grad((weight * sample).sum(), logits)
    p = softmax(logits.detach().numpy())
    w = weight.numpy()
    np.testing.assert_allclose(gradient.numpy(), p * (w - (p * w).sum(-1, keepdims=True)), atol=1e-6)


def test_kl_and_entropy():
    rng = np.random.default_rng(0)
    p, q = softmax(rng.normal(size=(2, 7, 3, 4)))
    kl = (p * np.log(p / q)).sum((-2, -1))
    np.testing.assert_allclose(categorical_kl(torch.from_numpy(np.log(p)), torch.from_numpy(np.log(q))).numpy(), kl, rtol=1e-9)
    assert (kl > 0).all()
    np.testing.assert_allclose(categorical_kl(torch.from_numpy(np.log(p)), torch.from_numpy(np.log(p))).numpy(), 0, atol=1e-12)
    np.testing.assert_allclose(categorical_entropy(torch.from_numpy(np.log(p))).numpy(), -(p * np.log(p)).sum(-1), rtol=1e-9)
    assert categorical_entropy(torch.full((8,), np.log(1 / 8))).item() == pytest.approx(np.log(8))
