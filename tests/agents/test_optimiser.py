"""Adam with clipping: against a hand-written step, and per head against one optimiser a head."""

import numpy as np
import pytest
import torch
from fakes.tiny import FLAT, SIZE, shake
from torch import nn

from sensei.agents.optimiser import Optimiser
from sensei.world_model.networks import BatchedMLP


def adam(parameter, gradients, rate, epsilon):
    first = second = np.zeros_like(parameter)
    for step, gradient in enumerate(gradients, start=1):
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        parameter = parameter - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + epsilon)
    return parameter


@pytest.mark.parametrize("clip", [1000.0, 0.5])
def test_steps_are_adam_on_gradients_clipped_by_their_joint_norm(clip):
    start, slopes = np.array([1.0, -2.0, 0.5]), [np.array([3.0, 0.0, 4.0]), np.array([0.1, 0.2, 0.2])]
    left, right = nn.Parameter(torch.tensor(start[:1])), nn.Parameter(torch.tensor(start[1:]))
    optimiser = Optimiser([left, right], 0.1, 1e-3, clip)
    norms = []
    for slope in slopes:
        loss = left @ torch.tensor(slope[:1]) + right @ torch.tensor(slope[1:])
        norms.append(float(optimiser.step(loss)))
    assert norms == pytest.approx([5, 0.3])
    clipped = [slope * min(1, clip / np.linalg.norm(slope)) for slope in slopes]
    np.testing.assert_allclose(torch.cat([left, right]).detach().numpy(), adam(start, clipped, 0.1, 1e-3), rtol=1e-5)


def test_only_its_own_parameters_get_gradients():
    mine, other = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    Optimiser([mine], 0.1, 1e-8, 10).step((mine * other).sum())
    assert other.grad is None
    assert not torch.equal(mine, torch.ones(2))


def heads_of(batched: BatchedMLP) -> list[BatchedMLP]:
    """One single-head network per head, with its weights."""
    axes = {name: batched.head_axes()[parameter] for name, parameter in batched.named_parameters()}
    singles = []
    for head in range(batched.heads):
        single = BatchedMLP(1, SIZE.deter, FLAT, 0, SIZE.units, SIZE.layers, 5)
        weights = {name: value.narrow(axes[name], head, 1) for name, value in batched.state_dict().items()}
        single.load_state_dict(weights)
        singles.append(single)
    return singles


def test_each_head_is_clipped_as_if_it_had_an_optimiser_of_its_own():
    """Head 0 has a huge gradient, head 1 a small one: only head 0 may be scaled."""
    batched = shake(BatchedMLP(3, SIZE.deter, FLAT, 0, SIZE.units, SIZE.layers, 5))
    singles = heads_of(batched)
    deter, stoch = torch.randn(7, SIZE.deter), torch.randn(7, FLAT)
    scales = torch.tensor([1e4, 1e-3, 3.0])
    joint = Optimiser(batched.parameters(), 1e-2, 1e-5, clip=1.0, head_axes=batched.head_axes())
    apart = [Optimiser(single.parameters(), 1e-2, 1e-5, clip=1.0) for single in singles]
    for _ in range(3):
        norm = joint.step((batched(deter, stoch).square().mean((1, 2)) * scales).sum())
        norms = [float(o.step(m(deter, stoch).square().mean() * s)) for o, m, s in zip(apart, singles, scales, strict=True)]
        assert float(norm) == pytest.approx(np.linalg.norm(norms), rel=1e-4)
    assert norms[0] > 1 > norms[1]
    for single, copied in zip(singles, heads_of(batched), strict=True):
        for name, value in single.state_dict().items():
            np.testing.assert_allclose(copied.state_dict()[name].numpy(), value.numpy(), atol=1e-4, err_msg=name)


@pytest.mark.parametrize("huge", [False, True])
def test_modules_apart_neither_scale_the_others_nor_are_scaled_by_them(huge):
    """As if each had an optimiser of its own, whichever of the two has the huge gradient."""
    together, alone = ([nn.Linear(3, 1, bias=False), nn.Linear(3, 1, bias=False)] for _ in range(2))
    for ours, theirs in zip(together, alone, strict=True):
        theirs.load_state_dict(ours.state_dict())
    x, factors = torch.tensor([1.0, 2.0, -1.0]), (1.0, 1e4) if huge else (1e4, 1.0)
    joint = Optimiser([*together[0].parameters(), *together[1].parameters()], 0.1, 10.0, 5.0, apart=[together[1]])
    apart = [Optimiser(module.parameters(), 0.1, 10.0, 5.0) for module in alone]  # a large epsilon, so that the scale shows in the step
    norm = joint.step(sum(factor * module(x).sum() for factor, module in zip(factors, together, strict=True)))
    norms = [o.step(factor * module(x).sum()) for o, factor, module in zip(apart, factors, alone, strict=True)]
    assert float(norm) == pytest.approx(float(norms[0]))
    for ours, theirs in zip(together, alone, strict=True):
        np.testing.assert_allclose(ours.weight.detach(), theirs.weight.detach(), rtol=1e-5)
