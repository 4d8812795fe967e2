"""The recurrent model against a plain step-by-step version written from Eqs. 1 to 3 and DreamerV3, on the same weights."""

import numpy as np
import pytest
import torch
from fakes.tiny import FLAT, SIZE, shake
from torch import Tensor

from sensei.kernels.categorical import sample_index
from sensei.world_model.distributions import log_probabilities
from sensei.world_model.rssm import RSSM, State, one_hot

EMBEDDING, ACTIONS, MIX = 5, 3, 0.01
BATCH, TIME = 4, 7


def norm(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    centred = x - x.mean(-1, keepdim=True)
    return centred / torch.sqrt(centred.square().mean(-1, keepdim=True) + 1e-3) * weight + bias


def norm_silu(x: Tensor, layer) -> Tensor:
    x = norm(x, layer.weight, layer.bias)
    return x * torch.sigmoid(x)


class Plain:
    """One step at a time, concatenated inputs, dense one-hot products."""

    def __init__(self, rssm: RSSM):
        self.p = rssm
        self.inputs = torch.cat([rssm.from_stoch.weight, rssm.from_action.weight])
        self.posterior_inputs = torch.cat([rssm.from_deter.weight, rssm.from_embedding.weight])

    def distribution(self, logits: Tensor) -> Tensor:
        probabilities = torch.softmax(logits.view(-1, SIZE.stoch, SIZE.classes), -1)
        return (1 - MIX) * probabilities + MIX / SIZE.classes

    def prior(self, deter: Tensor) -> Tensor:
        (linear, layer), output = self.p.prior_head
        return self.distribution(norm_silu(deter @ linear.weight, layer) @ output.weight + output.bias)

    def start(self, rows: int) -> tuple[Tensor, Tensor]:
        deter = torch.tanh(self.p.initial_deter).repeat(rows, 1)
        return deter, torch.nn.functional.one_hot(self.prior(deter).argmax(-1), SIZE.classes).float().flatten(1)

    def step(self, deter: Tensor, stoch: Tensor, action: Tensor) -> Tensor:
        action = action / torch.maximum(torch.ones_like(action), action.abs())
        x = norm_silu(torch.cat([stoch, action], -1) @ self.inputs, self.p.input_norm)
        joint = norm(torch.cat([x, deter], -1) @ self.p.gates.weight, self.p.gate_norm.weight, self.p.gate_norm.bias)
        reset, candidate, update = joint.split(SIZE.deter, -1)
        update = torch.sigmoid(update - 1)
        return update * torch.tanh(torch.sigmoid(reset) * candidate) + (1 - update) * deter

    def posterior(self, deter: Tensor, embedding: Tensor) -> Tensor:
        hidden = norm_silu(torch.cat([deter, embedding], -1) @ self.posterior_inputs, self.p.posterior_norm)
        return self.distribution(hidden @ self.p.posterior_output.weight + self.p.posterior_output.bias)

    def observe(self, embedding: Tensor, action: Tensor, is_first: Tensor, uniform: Tensor):
        deters, indices, posteriors, priors = [], [], [], []
        deter, stoch = self.start(len(is_first))
        for t in range(is_first.shape[1]):
            first = is_first[:, t, None] if t else torch.ones_like(is_first[:, :1])
            start_deter, start_stoch = self.start(len(is_first))
            deter, stoch = torch.where(first, start_deter, deter), torch.where(first, start_stoch, stoch)
            deter = self.step(deter, stoch, torch.where(first, torch.zeros_like(action[:, t]), action[:, t]))
            posterior = self.posterior(deter, embedding[:, t])
            index = (posterior.cumsum(-1) <= uniform[:, t, :, None]).sum(-1).clamp(max=SIZE.classes - 1)
            stoch = torch.nn.functional.one_hot(index, SIZE.classes).float().flatten(1)
            for collected, value in zip((deters, indices, posteriors, priors), (deter, index, posterior, self.prior(deter)), strict=True):
                collected.append(value)
        return [torch.stack(values, 1) for values in (deters, indices, posteriors, priors)]


@pytest.fixture
def rssm() -> RSSM:
    torch.manual_seed(0)
    return shake(RSSM(SIZE, EMBEDDING, ACTIONS, MIX))


def inputs(seed: int = 0) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.randn(BATCH, TIME, EMBEDDING, generator=generator)
    action = 2 * torch.randn(BATCH, TIME, ACTIONS, generator=generator)
    is_first = torch.rand(BATCH, TIME, generator=generator) < 0.25
    is_first[:, 0] = True
    is_first[0, 3] = True
    return embedding, action, is_first, torch.rand(BATCH, TIME, SIZE.stoch, generator=generator)


def test_observe_is_the_plain_recurrence(rssm):
    embedding, action, is_first, uniform = inputs()
    observed = rssm.observe(embedding, action, is_first, uniform)
    deter, index, posterior, prior = Plain(rssm).observe(embedding, action, is_first, uniform)
    assert torch.equal(observed.index, index)
    np.testing.assert_allclose(observed.deter.detach(), deter.detach(), atol=1e-5)
    np.testing.assert_allclose(observed.posterior.exp().detach(), posterior.detach(), atol=1e-5)
    np.testing.assert_allclose(observed.prior.exp().detach(), prior.detach(), atol=1e-5)
    np.testing.assert_allclose(observed.stoch.detach(), one_hot(index, SIZE.classes), atol=1e-6)


def test_the_update_gate_starts_nearly_closed():
    """Bias -1: with neutral gates the memory keeps sigmoid(1) = 73 % of itself."""
    rssm = RSSM(SIZE, EMBEDDING, ACTIONS, MIX)
    torch.nn.init.zeros_(rssm.gates.weight)
    deter = torch.rand(2, SIZE.deter)
    kept = rssm.step(deter, torch.zeros(2, SIZE.units))
    np.testing.assert_allclose(kept.detach(), deter / (1 + np.exp(-1)), rtol=1e-5)


def test_is_first_forgets_everything_before(rssm):
    """Other data before the border leave every later state bit-identical, also where the first column does not say is_first."""
    embedding, action, is_first, uniform = inputs()
    border = 3
    is_first[:, border] = True
    changed = [part.clone() for part in (embedding, action, uniform)]
    for part, noise in zip(changed, inputs(seed=1)[:2] + inputs(seed=1)[3:], strict=True):
        part[:, :border] = noise[:, :border]
    changed[1][:, border] = 99  # the action that "led" to a first observation
    first, second = rssm.observe(embedding, action, is_first, uniform), rssm.observe(changed[0], changed[1], is_first, changed[2])
    for left, right in zip(first, second, strict=True):
        assert torch.equal(left[:, border:], right[:, border:])
    assert not torch.equal(first.deter[:, :border], second.deter[:, :border])


def test_no_gradient_crosses_is_first(rssm):
    embedding, action, is_first, uniform = inputs()
    is_first[:, 3] = True
    embedding.requires_grad_()
    rssm.observe(embedding, action, is_first, uniform).deter[:, 4:].sum().backward()
    assert (embedding.grad[:, :3] == 0).all()
    assert (embedding.grad[:, 3] != 0).any()


def test_without_is_first_the_past_matters(rssm):
    embedding, action, is_first, uniform = inputs()
    is_first[:, 1:] = False
    other = embedding.clone()
    other[:, 0] += 3
    first, second = rssm.observe(embedding, action, is_first, uniform), rssm.observe(other, action, is_first, uniform)
    assert not torch.equal(first.deter[:, -1], second.deter[:, -1])


def test_acting_step_by_step_gives_the_same_states(rssm):
    embedding, action, is_first, uniform = inputs()
    observed = rssm.observe(embedding, action, is_first, uniform)
    state = State(torch.full((BATCH, SIZE.deter), 7.0), torch.zeros(BATCH, SIZE.stoch, dtype=torch.int64))
    for t in range(TIME):
        state = rssm.observe_step(state, action[:, t], embedding[:, t], is_first[:, t], uniform[:, t])
        assert torch.equal(state.index, observed.index[:, t])
        np.testing.assert_allclose(state.deter.detach(), observed.deter[:, t].detach(), atol=1e-5)


def test_start_is_learned_and_its_stochastic_state_is_the_mode_of_the_prior(rssm):
    deter, index = rssm.initial(3)
    assert torch.equal(deter, torch.tanh(rssm.initial_deter).expand(3, -1))
    assert torch.equal(index, rssm.prior(deter).argmax(-1))
    embedding, action, is_first, uniform = inputs()
    rssm.observe(embedding, action, is_first, uniform).deter.sum().backward()
    assert rssm.initial_deter.grad.abs().sum() > 0


def test_actions_are_scaled_into_the_unit_box(rssm):
    action = torch.tensor([[3.0, -0.4, -8.0]])
    assert torch.allclose(rssm.action_projection(action), rssm.action_projection(torch.tensor([[1.0, -0.4, -1.0]])))


def test_imagination_with_classes_equals_imagination_with_one_hot_vectors(rssm):
    generator = torch.Generator().manual_seed(0)
    deter, action = torch.randn(50, SIZE.deter, generator=generator), torch.randn(50, ACTIONS, generator=generator)
    index = torch.randint(SIZE.classes, (50, SIZE.stoch), generator=generator)
    uniform = torch.rand(50, SIZE.stoch, generator=generator)
    by_class = rssm.imagine_step(deter, index, action, uniform)
    by_vector = rssm.imagine_step(deter, one_hot(index, SIZE.classes), action, uniform)
    assert torch.equal(by_class[1], by_vector[1])
    np.testing.assert_allclose(by_class[0].detach(), by_vector[0].detach(), atol=1e-5)
    plain = Plain(rssm)
    expected = plain.step(deter, one_hot(index, SIZE.classes), action)
    np.testing.assert_allclose(by_class[0].detach(), expected.detach(), atol=1e-5)
    np.testing.assert_allclose(by_class[2].detach(), plain.prior(expected).detach(), atol=1e-5)
    assert torch.equal(by_class[1], sample_index(by_class[2], uniform))


def test_every_class_keeps_its_share_of_the_uniform_mix():
    probabilities = log_probabilities(torch.tensor([60.0, 0, 0, 0]), MIX).exp()
    np.testing.assert_allclose(probabilities, [1 - MIX * 3 / 4, MIX / 4, MIX / 4, MIX / 4], rtol=1e-4)


def test_one_hot_puts_variables_side_by_side():
    vectors = one_hot(torch.tensor([[1, 0, 3]]), SIZE.classes)
    assert vectors.shape == (1, FLAT)
    assert vectors.nonzero()[:, 1].tolist() == [1, 4, 11]
