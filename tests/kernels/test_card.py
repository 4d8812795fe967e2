"""The kernels for a graphics card against PyTorch's own operations: values and gradients; interpreted on the CPU where there is no card."""

import numpy as np
import pytest
import torch
from fakes.card import DEVICE, interpret

from sensei.agents.returns import lambda_return
from sensei.kernels.categorical import draw, straight_through
from sensei.kernels.choice import frozen, pytorch_only
from sensei.kernels.pictures import picture_error
from sensei.kernels.products import gather_rows
from sensei.kernels.spread import spread
from sensei.world_model import distributions, networks
from sensei.world_model.networks import BatchedMLP, NormSiLU
from sensei.world_model.rssm import RSSM
from sensei.world_model.sizes import Size

SMALL = Size(deter=12, stoch=3, classes=5, depth=2, units=20, layers=2)


@pytest.fixture(autouse=True)
def interpreted(monkeypatch):
    interpret(monkeypatch)


def leaf(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed + sum(shape)))).to(DEVICE).requires_grad_()


def uniform(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed)).to(DEVICE)


def integers(most: int, *shape: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.randint(most, shape, dtype=dtype, generator=torch.Generator().manual_seed(0)).to(DEVICE)


def compare(function, *leaves: torch.Tensor) -> None:
    """A function of tensors, or several, gives the same by both kinds of kernels, gradients included."""
    results = []
    for by_pytorch in (True, False):
        for each in leaves:
            each.grad = None
        with pytorch_only() if by_pytorch else torch.enable_grad():
            values = function()
            values = [value for value in (values if isinstance(values, tuple) else (values,)) if value.is_floating_point()]
            loss = sum((value * torch.cos(torch.arange(value.numel(), device=DEVICE).float()).view(value.shape)).sum() for value in values)
            if leaves:
                loss.backward()
        results.append([*(value.detach().cpu() for value in values), *(each.grad.cpu() for each in leaves)])
    for number, (expected, given) in enumerate(zip(*results, strict=True)):
        assert given.shape == expected.shape
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=2e-5 * max(1.0, float(expected.abs().max())), err_msg=str(number))


@pytest.mark.parametrize("shape", [(1, 8), (5, 20), (3, 2, 2, 48), (700, 32)])
def test_layer_norm_with_silu(shape):
    layer, x = NormSiLU(shape[-1]).to(DEVICE), leaf(*shape)
    with torch.no_grad():
        layer.weight.copy_(leaf(shape[-1], seed=1)), layer.bias.copy_(leaf(shape[-1], seed=2))
    compare(lambda: layer(x), x, *layer.parameters())


@pytest.mark.parametrize("extra", [0, 3])
def test_several_heads_whose_rows_lie_apart(extra):
    heads, x, index = BatchedMLP(3, 16, 8, extra, 20, 3, 5).to(DEVICE), leaf(7, 16), integers(4, 7, 2)
    more = [leaf(7, extra)] if extra else []
    compare(lambda: heads(x, index, *more), x, *more, *heads.parameters())


@pytest.mark.parametrize("extra", [0, 3])
def test_heads_read_their_inputs_side_by_side(extra):
    heads, deter, stoch = BatchedMLP(3, 16, 8, extra, 20, 2, 5).to(DEVICE), leaf(7, 16), leaf(7, 8)
    more = [leaf(7, extra)] if extra else []
    joint = torch.cat([deter, stoch, *more, deter.new_zeros(7, 5 if extra else 0)], -1)
    expected = heads(deter, stoch, *more).detach().cpu()
    for by_pytorch in (True, False):
        with pytorch_only() if by_pytorch else torch.enable_grad():
            np.testing.assert_allclose(heads(joint, joint[:, :0]).detach().cpu(), expected, atol=1e-5)
    compare(lambda: heads(joint.detach(), joint[:, :0].detach()), *heads.parameters())


def test_heads_get_no_gradient_where_only_their_inputs_want_one():
    heads, x = BatchedMLP(2, 16, 0, 0, 20, 2, 5).to(DEVICE), leaf(7, 16)
    nothing, gradients = x[:, :0].detach(), []
    for inside in (frozen(), torch.enable_grad()):
        with inside:
            heads(x, nothing).square().sum().backward()
        gradients.append(x.grad.cpu())
        x.grad = None
    np.testing.assert_allclose(*gradients, atol=1e-5)
    heads.zero_grad()
    with frozen():
        heads(x, nothing).sum().backward()
    assert heads.output.grad is None
    assert heads.norm_weight.grad is None


def test_two_hot_regression_on_the_outputs_of_heads():
    heads, x, target = BatchedMLP(2, 16, 8, 0, 20, 1, 255).to(DEVICE), leaf(6, 16), leaf(2, 2, 2, scale=9).detach()
    stoch = leaf(6, 8)

    def loss() -> torch.Tensor:
        logits = heads(x, stoch).unflatten(1, (3, 2))
        return distributions.two_hot_loss(logits[:, :-1], target) + distributions.two_hot_mean(logits[:, 1:])

    compare(loss, x, stoch, *heads.parameters())


@pytest.mark.parametrize("sources", [1, 3])
def test_lambda_returns(sources):
    reward, value, discount = leaf(sources, 5, 70), leaf(sources, 6, 70), leaf(5, 70)
    compare(lambda: lambda_return(reward, value, discount, 0.9), reward, value, discount)


def test_first_and_last_stage_of_pictures():
    encoder, decoder = networks.ImageEncoder(16, 5).to(DEVICE), networks.ImageDecoder(9, 16, 5).to(DEVICE)
    image, features = integers(256, 3, 16, 16, 3, dtype=torch.uint8), leaf(3, 9)
    with torch.no_grad():
        decoder.layers[-1].bias.add_(torch.tensor([0.1, -0.2, 0.3], device=DEVICE))
    compare(lambda: encoder(image), *encoder.parameters())
    compare(lambda: decoder(features), features, *decoder.parameters())


def test_gathered_rows():
    weight, index, base = leaf(12, 5), integers(4, 9, 3), leaf(9, 5)
    compare(lambda: gather_rows(index, weight), weight)
    compare(lambda: gather_rows(index, weight, base), weight, base)


def test_gates_of_the_recurrence():
    model = RSSM(SMALL, 6, 2, 0.01).to(DEVICE)
    deter, projected = leaf(9, 12), leaf(9, 20)
    named = dict(model.named_parameters())
    compare(lambda: model.step(deter, projected), deter, projected, *(named[f"gate_norm.{name}"] for name in ("weight", "bias")))


@pytest.mark.parametrize("classes", [2, 9, 32])
def test_draws_and_their_straight_through_gradient(classes):
    logits, noise = leaf(50, classes, scale=3), uniform(50)
    with pytorch_only():
        expected = draw(logits, 0.01, noise)[0]
    assert torch.equal(draw(logits, 0.01, noise)[0], expected)
    compare(lambda: straight_through(*draw(logits, 0.01, noise)), logits)
    compare(lambda: draw(logits, 0.01, noise)[1], logits)


def test_two_hot_regression():
    logits = leaf(2, 13, 255, scale=2)
    target = torch.tensor([0.0, 1e-4, -0.3, 1, -1, 7, -50, 1e3, 1e8, -1e9, 2, 3, 4], device=DEVICE).repeat(2, 1)
    compare(lambda: distributions.two_hot_loss(logits, target), logits)
    compare(lambda: distributions.two_hot_losses(logits, torch.stack([target, target.flip(1) / 2, 0 * target])), logits)
    compare(lambda: distributions.two_hot_mean(logits), logits)


@pytest.mark.parametrize("kind", ["variance", "standard_deviation"])
def test_spread_of_the_ensemble(kind):
    predictions = leaf(5, 6, 600)
    compare(lambda: spread(predictions, kind), predictions)


def test_error_of_pictures():
    predicted, image = leaf(3, 40, 40, 3), integers(256, 3, 40, 40, 3, dtype=torch.uint8)
    compare(lambda: picture_error(predicted, image), predicted)


def test_the_posterior_scan():
    model = RSSM(SMALL, 6, 2, 0.01).to(DEVICE)
    for number, parameter in enumerate(model.parameters()):
        parameter.data += 0.3 * leaf(*parameter.shape, seed=number).detach()
    embedding, action = leaf(4, 5, 6), leaf(4, 5, 2)
    is_first, noise = uniform(4, 5, seed=2) < 0.3, uniform(4, 5, 3, seed=3)
    is_first[:, 0] = True
    compare(lambda: tuple(model.observe(embedding, action, is_first, noise)), embedding, action, *model.parameters())
