"""Imagination on a graphics card against that on a CPU, interpreted where there is no card."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from fakes.agents import WEIGHTS, dreamer
from fakes.both_ways import arrays, assert_same_first_updates
from fakes.card import DEVICE, interpret
from fakes.tiny import SIZE, shake

from sensei.agents.actor_critic import Behaviour, imagine_all
from sensei.exploration.switch import Switch
from sensei.kernels.choice import pytorch_only
from sensei.study.models.behaviour import BehaviourConfig
from sensei.world_model.rssm import RSSM, State, one_hot


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    interpret(monkeypatch)


def features(rollout) -> torch.Tensor:
    stoch = rollout.stoch if rollout.stoch.is_floating_point() else one_hot(rollout.stoch, SIZE.classes)
    return torch.cat([rollout.deter, stoch], -1)


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("layers", [1, 3])
def test_two_behaviours_dream_what_each_would_alone_and_gradients_reach_their_actors(discrete, layers):
    size, rows, actions = replace(SIZE, layers=layers), 7, 3
    switch, config = Switch("none", WEIGHTS, ["extrinsic"], 0.99), BehaviourConfig(horizon=4)
    both = [shake(Behaviour(size, actions, discrete, 0.01, ["extrinsic"], switch, config), seed).to(DEVICE) for seed in (0, 1)]
    model, generator = shake(RSSM(size, 6, actions, 0.01), seed=2).to(DEVICE), torch.Generator().manual_seed(0)
    starts = [
        State(torch.randn(rows, size.deter, generator=generator), torch.randint(size.classes, (rows, size.stoch), generator=generator))
        for _ in both
    ]
    starts = [State(*(part.to(DEVICE) for part in start)) for start in starts]
    randomness = [behaviour.randomness(model, rows, torch.Generator(DEVICE).manual_seed(5)) for behaviour in both]
    together = [rollout() for rollout in imagine_all(model, both, starts, randomness)]
    with pytorch_only():
        alone = [behaviour.follow(model, *given) for behaviour, *given in zip(both, starts, randomness, strict=True)]
    for behaviour, given, expected in zip(both, together, alone, strict=True):
        np.testing.assert_allclose(features(given).detach().cpu(), features(expected).detach().cpu(), atol=1e-5)
        np.testing.assert_allclose(given.action.detach().cpu(), expected.action.detach().cpu(), atol=1e-5)
        assert given.joint is not None
        assert expected.joint is None
        if discrete:
            continue
        parameters = list(behaviour.actor.parameters())
        gradients = [
            torch.autograd.grad(torch.sin(features(one)).sum() + one.action.square().sum(), parameters) for one in (given, expected)
        ]
        for ours, theirs in zip(*gradients, strict=True):
            np.testing.assert_allclose(ours.cpu(), theirs.cpu(), rtol=1e-4, atol=1e-4 * max(1.0, float(theirs.abs().max())))


@pytest.mark.slow
@pytest.mark.skipif(DEVICE == "cuda", reason="test_card.py does it with the whole update")
@pytest.mark.parametrize("discrete", [True, False])
def test_an_update_by_the_kernels_of_a_card_is_that_of_pytorch(discrete):
    ours, plain = shake(dreamer(discrete)), shake(dreamer(discrete))
    batch = {name: array[:2, :2] for name, array in arrays(discrete).items()}
    given = ours.update(batch)
    with pytorch_only():
        expected = plain.update(batch)
    assert_same_first_updates(ours, plain, [(given, expected)], states=16)
