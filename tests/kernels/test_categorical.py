"""Draws and two-hot regression in C against PyTorch's own operations."""

import numpy as np
import pytest
import torch
from fakes.both_ways import assert_close, both_ways, leaf
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.kernels.categorical import draw, mixed, sample_index
from sensei.kernels.choice import pytorch_only
from sensei.world_model import distributions

pytestmark = pytest.mark.usefixtures("in_c")


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 40), st.integers(1, 64), st.sampled_from([0.1, 1.0, 100.0]), st.sampled_from([0.0, 0.01]), st.integers(0, 9))
def test_draws_follow_the_same_uniforms(draws, classes, scale, mix, seed):
    logits = leaf(draws, classes, scale=scale, seed=seed).detach()
    uniform = torch.rand(draws, generator=torch.Generator().manual_seed(seed))
    index, probabilities = draw(logits, mix, uniform)
    expected = mixed(logits, mix)
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    edges = torch.cumsum(expected.double(), -1)
    clear = ((edges - uniform.double().unsqueeze(-1)).abs() > 1e-5).all(-1)
    assert index[clear].equal(sample_index(expected, uniform)[clear])
    assert index.min() >= 0 and index.max() < classes


@pytest.mark.parametrize("logits", [[0.0, float("nan"), 0.0], [float("nan")] * 3, [float("inf"), 0.0, 0.0]])
def test_a_draw_without_probabilities_still_is_a_class_and_shows_it(logits):
    index, probabilities = draw(torch.tensor([logits]), 0.01, torch.tensor([0.5]))
    assert 0 <= index.item() < 3 and probabilities.isnan().all()


@settings(deadline=None, max_examples=20)
@given(st.integers(1, 20), st.sampled_from([0.1, 5.0, 200.0]))
def test_two_hot_regression(rows, scale):
    logits, target = leaf(rows, 255, scale=scale), 100 * leaf(rows, seed=1).detach()
    assert_close(*both_ways(lambda: distributions.two_hot_loss(logits, target), logits))
    ours = distributions.two_hot_mean(logits.detach())
    with pytorch_only():
        np.testing.assert_allclose(ours, distributions.two_hot_mean(logits.detach()), rtol=1e-3, atol=1e-5)


def test_losses_of_several_targets_are_those_of_each():
    logits, targets = leaf(3, 6, 255), 10 * leaf(2, 3, 6, seed=1).detach()
    ours, plain = both_ways(lambda: distributions.two_hot_losses(logits, targets), logits)
    assert_close(ours, plain)
    one_by_one = [distributions.two_hot_loss(logits, target) for target in targets]
    assert_close([ours[0]], [torch.stack(one_by_one).detach()])
