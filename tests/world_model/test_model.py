"""World model: its losses by hand, where gradients go, shapes and sizes (docs/method.md, section 1)."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from fakes.tiny import FLAT, SIZE, random_batch, shake

from sensei.agents.actor_critic import Behaviour
from sensei.exploration.switch import Switch
from sensei.kernels.pictures import centred
from sensei.kernels.products import gather_rows
from sensei.study.models.behaviour import BehaviourConfig
from sensei.study.models.exploration import ExplorationConfig
from sensei.study.models.world_model import WorldModelConfig
from sensei.world_model.model import WorldModel
from sensei.world_model.networks import BatchedMLP, ImageDecoder, ImageEncoder
from sensei.world_model.rssm import Observed, one_hot

FLAGS, ACTIONS = 2, 3


def make(reward_gradient: bool = False, **changes) -> WorldModel:
    torch.manual_seed(0)
    return shake(WorldModel(WorldModelConfig(size="XS", image_size=16, **changes), FLAGS, ACTIONS, reward_gradient))


@pytest.fixture(scope="module")
def model() -> WorldModel:
    return make()


def observe(model: WorldModel, batch, seed: int = 0) -> Observed:
    size = model.size
    return model.observe(batch, torch.rand((*batch.is_first.shape, size.stoch), generator=torch.Generator().manual_seed(seed)))


def touched(model: WorldModel, loss: torch.Tensor) -> set[str]:
    """First two parts of the names of all parameters that a loss moves."""
    named = dict(model.named_parameters())
    gradients = torch.autograd.grad(loss, list(named.values()), allow_unused=True, retain_graph=True)
    moved = {name for name, gradient in zip(named, gradients, strict=True) if gradient is not None and (gradient != 0).any()}
    return {".".join(name.split(".")[:2]) if name.startswith(("rssm", "reward_heads")) else name.split(".")[0] for name in moved}


# Losses ---------------------------------------------------------------------------------------------------------------


def kl(p: torch.Tensor, q: torch.Tensor) -> np.ndarray:
    p, q = p.detach().double().numpy(), q.detach().double().numpy()
    return (np.exp(p) * (p - q)).sum((-2, -1))


@pytest.mark.parametrize("free_nats", [0.0, 1.0, 500.0])
def test_kl_terms_are_weighted_and_free_below_the_free_nats(free_nats):
    model = make(free_nats=free_nats)
    batch = random_batch(3, 5, 16, FLAGS, ACTIONS)
    observed = observe(model, batch)
    losses = model.losses(batch, observed)
    divergence = np.maximum(kl(observed.posterior, observed.prior), free_nats)
    np.testing.assert_allclose(losses["dynamics"].detach(), 0.5 * divergence, rtol=1e-4)
    np.testing.assert_allclose(losses["representation"].detach(), 0.1 * divergence, rtol=1e-4)
    pushed = touched(model, losses["dynamics"].sum() + losses["representation"].sum())
    assert bool(pushed) == (free_nats < 500)


def test_the_posterior_has_free_nats_of_its_own_if_it_is_given_some():
    batch = random_batch(3, 5, 16, FLAGS, ACTIONS)
    model = make(free_nats=0.0, representation_free_nats=500.0)
    losses = model.losses(batch, observe(model, batch))
    assert (losses["dynamics"] < 0.5 * 500).all()
    assert (losses["representation"] == 0.1 * 500).all()


def test_pictures_and_flags_weigh_what_the_study_says(model):
    batch = random_batch(3, 5, 16, FLAGS, ACTIONS)
    weighted = make(image_weight=7.0, flag_weight=0.5)
    plain, other = (each.losses(batch, observe(each, batch)) for each in (model, weighted))
    for name, factor in {"image": 7.0, "flags": 0.5, "continue": 1.0, "semantic": 1.0, "dynamics": 1.0}.items():
        assert torch.allclose(other[name], factor * plain[name], rtol=1e-5), name


def test_a_study_changes_parts_of_a_preset():
    model = make(network={"layers": 3, "units": 48, "vector_layers": 2})
    assert (model.size.layers, model.size.units, model.size.vector_layers, model.size.deter) == (3, 48, 2, 128)
    assert model.continue_head.hidden[1].shape == (1, 48, 48)
    assert len(model.flags_encoder) == 2


def test_free_nats_are_of_all_variables_together():
    """The clip is on the sum over variables, not on each: ten small divergences together are penalised."""
    model = make()
    size, batch = model.size, random_batch(1, 1, 16, FLAGS, ACTIONS)
    observed = observe(model, batch)
    posterior = torch.log_softmax(torch.randn(1, 1, size.stoch, size.classes, generator=torch.Generator().manual_seed(0)), -1)
    prior = torch.full_like(posterior, -np.log(size.classes))
    each = (posterior.exp() * (posterior - prior)).sum(-1)
    assert each.max() < 1 < each.sum()
    losses = model.losses(batch, observed._replace(posterior=posterior, prior=prior))
    assert losses["dynamics"].item() == pytest.approx(0.5 * each.sum().item(), rel=1e-5)


def test_dynamics_loss_moves_the_prior_and_representation_loss_the_posterior(model):
    batch = random_batch(4, 1, 16, FLAGS, ACTIONS)  # one step, so that nothing comes back through time
    losses = model.losses(batch, observe(model, batch))
    dynamics, representation = touched(model, losses["dynamics"].sum()), touched(model, losses["representation"].sum())
    posterior = {"rssm.posterior_norm", "rssm.posterior_output", "rssm.from_deter", "rssm.from_embedding", "image_encoder", "flags_encoder"}
    assert "rssm.prior_head" in dynamics
    assert not dynamics & posterior
    assert posterior <= representation
    assert "rssm.prior_head" not in representation


def test_balance_of_the_logits(model):
    """At the distributions themselves: each loss has a gradient on one side only, and it is that of the KL."""
    batch, size = random_batch(2, 3, 16, FLAGS, ACTIONS), model.size
    generator = torch.Generator().manual_seed(0)
    logits = [3 * torch.randn(2, 3, size.stoch, size.classes, generator=generator) for _ in range(2)]
    posterior, prior = (part.requires_grad_() for part in logits)
    observed = observe(model, batch)._replace(posterior=torch.log_softmax(posterior, -1), prior=torch.log_softmax(prior, -1))
    losses = model.losses(batch, observed)
    q, p = torch.softmax(prior, -1).detach(), torch.softmax(posterior, -1).detach()
    to_prior, to_posterior = torch.autograd.grad(losses["dynamics"].sum(), [prior, posterior], allow_unused=True, retain_graph=True)
    assert to_posterior is None
    np.testing.assert_allclose(to_prior, 0.5 * (q - p), atol=1e-6)
    to_prior, to_posterior = torch.autograd.grad(losses["representation"].sum(), [prior, posterior], allow_unused=True)
    assert to_prior is None
    ratio = p.log() - q.log()
    np.testing.assert_allclose(to_posterior, 0.1 * p * (ratio - (p * ratio).sum(-1, keepdim=True)), atol=1e-5)


def test_reconstruction_and_continue_losses_by_hand(model):
    batch = random_batch(3, 4, 16, FLAGS, ACTIONS)
    observed = observe(model, batch)
    losses = {name: loss.detach().numpy() for name, loss in model.losses(batch, observed).items()}
    features = torch.cat([observed.deter, observed.stoch], -1).flatten(0, 1)
    picture = model.image_decoder(features).detach().double().numpy()
    error = ((picture + 0.5 - batch.image.flatten(0, 1).numpy() / 255) ** 2).sum((1, 2, 3))
    np.testing.assert_allclose(losses["image"].ravel(), error, rtol=1e-4)
    p = torch.sigmoid(model.flags_decoder(features)).detach().double().numpy()
    flags = batch.flags.flatten(0, 1).numpy()
    np.testing.assert_allclose(losses["flags"].ravel(), -(flags * np.log(p) + (1 - flags) * np.log(1 - p)).sum(-1), rtol=1e-3)
    alive = model.predict_continue(observed.deter.flatten(0, 1), observed.stoch.flatten(0, 1)).detach().double().numpy()
    terminal = batch.is_terminal.flatten().numpy()
    np.testing.assert_allclose(losses["continue"].ravel(), -np.where(terminal, np.log(1 - alive), np.log(alive)), rtol=1e-3)


@pytest.mark.parametrize(("name", "field"), [("reward", "reward"), ("semantic", "semantic")])
def test_reward_losses_are_of_the_reward_that_came_with_the_observation(model, name, field):
    batch = random_batch(3, 4, 16, FLAGS, ACTIONS)
    observed = observe(model, batch)
    losses = model.losses(batch, observed)
    head = model.reward_heads["extrinsic" if name == "reward" else "semantic"]
    log_p = torch.log_softmax(head(observed.deter.flatten(0, 1), observed.stoch.flatten(0, 1))[0], -1).detach().double().numpy()
    target = getattr(batch, field).flatten().double().numpy()
    position = (np.sign(target) * np.log1p(np.abs(target)) + 20) / 40 * 254
    below = np.floor(position).astype(int)
    rows, share = np.arange(len(target)), position - below
    expected = -((1 - share) * log_p[rows, below] + share * log_p[rows, below + 1])
    np.testing.assert_allclose(losses[name].detach().numpy().ravel(), expected, atol=1e-3)


def test_a_new_model_predicts_no_reward():
    model = WorldModel(WorldModelConfig(size="XS", image_size=16), FLAGS, ACTIONS, False)
    deter, stoch = torch.randn(4, model.size.deter), torch.randint(model.size.classes, (4, model.size.stoch))
    for name in ("extrinsic", "semantic"):
        assert model.predict_reward(name, deter, stoch).detach().numpy() == pytest.approx(0, abs=1e-5)


# Where gradients go -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reward_gradient", [False, True])
def test_rewards_shape_the_features_only_in_the_task_phase(reward_gradient):
    model = make(reward_gradient)
    batch = random_batch(3, 4, 16, FLAGS, ACTIONS)
    losses = model.losses(batch, observe(model, batch))
    assert touched(model, losses["semantic"].sum()) == {"reward_heads.semantic"}
    reward = touched(model, losses["reward"].sum())
    assert "reward_heads.extrinsic" in reward
    assert {"image_encoder", "rssm.gates", "rssm.posterior_output"} <= reward if reward_gradient else reward == {"reward_heads.extrinsic"}
    for name in ("image", "flags", "continue"):
        assert {"image_encoder", "rssm.gates", "rssm.posterior_output"} <= touched(model, losses[name].sum())


def test_observe_starts_anew_and_shifts_actions(model):
    """The action stored with a step is the one taken after it; the last one of a row leads nowhere."""
    batch = random_batch(2, 5, 16, FLAGS, ACTIONS)._replace(is_first=torch.zeros(2, 5, dtype=torch.bool))
    observed = observe(model, batch)
    first_said = observe(model, batch._replace(is_first=F.pad(batch.is_first[:, 1:], (1, 0), value=True)))
    assert torch.equal(observed.deter, first_said.deter)
    for changed in range(5):
        action = batch.action.clone()
        action[:, changed] = action[:, changed].roll(1, -1)
        differs = (observe(model, batch._replace(action=action)).deter != observed.deter).any(-1).any(0)
        assert differs.tolist() == [t > changed for t in range(5)]


# Networks -------------------------------------------------------------------------------------------------------------


def test_gathered_rows_equal_the_dense_product():
    generator = torch.Generator().manual_seed(0)
    index, weight = torch.randint(4, (9, 3), generator=generator), torch.randn(12, 5, generator=generator)
    np.testing.assert_allclose(gather_rows(index, weight), one_hot(index, 4) @ weight, atol=1e-6)


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("extra", [0, 2])
def test_batched_heads_equal_a_loop_over_heads(heads, extra):
    network = shake(BatchedMLP(heads, SIZE.deter, FLAT, extra, SIZE.units, 3, 5))
    generator = torch.Generator().manual_seed(0)
    deter, index = torch.randn(6, SIZE.deter, generator=generator), torch.randint(SIZE.classes, (6, SIZE.stoch), generator=generator)
    more = torch.randn(6, extra, generator=generator) if extra else None
    inputs = torch.cat([deter, one_hot(index, SIZE.classes), *([more] if extra else [])], -1)
    parts = [network.from_deter, network.from_stoch, *([network.from_extra] if extra else [])]
    expected = []
    for head in range(heads):
        x = inputs @ torch.cat([part[:, head] for part in parts])
        for layer in range(3):
            x = x @ network.hidden[layer - 1][head] if layer else x
            x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-3)
            x = x * network.norm_weight[layer, head, 0] + network.norm_bias[layer, head, 0]
            x = x / (1 + torch.exp(-x))
        expected.append(x @ network.output[head] + network.output_bias[head, 0])
    for stoch in (index, one_hot(index, SIZE.classes)):
        np.testing.assert_allclose(network(deter, stoch, more).detach(), torch.stack(expected).detach(), atol=1e-4)


@pytest.mark.parametrize(
    ("side", "channels", "left"), [(64, [2, 4, 8, 16], 4), (40, [2, 4, 8], 5), (32, [2, 4, 8], 4), (24, [2, 4], 6), (80, [2, 4, 8, 16], 5)]
)
def test_encoder_and_decoder_of_every_picture_size(side, channels, left):
    encoder, decoder = ImageEncoder(side, 2), ImageDecoder(7, side, 2)
    assert [layer.out_channels for layer in encoder.layers if isinstance(layer, torch.nn.Conv2d)] == channels
    image = torch.randint(256, (3, side, side, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    x = image.permute(0, 3, 1, 2) / 255 - 0.5
    for convolution, norm in zip(encoder.layers[::2], encoder.layers[1::2], strict=True):
        x = F.conv2d(x, convolution.weight, stride=2, padding=1).permute(0, 2, 3, 1)
        x = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, unbiased=False, keepdim=True) + 1e-3)
        x = F.silu(x * norm.weight + norm.bias).permute(0, 3, 1, 2)
    assert x.shape[2:] == (left, left)
    given = encoder(image)
    assert given.shape == (3, encoder.outputs)
    np.testing.assert_allclose(given.detach(), x.permute(0, 2, 3, 1).flatten(1).detach(), atol=1e-5)
    assert decoder(torch.randn(3, 7)).shape == (3, side, side, 3)


def test_decoder_is_centred_on_grey():
    decoder = ImageDecoder(7, 16, 2)
    for parameter in decoder.parameters():
        torch.nn.init.zeros_(parameter)
    assert (decoder(torch.randn(2, 7)) == 0).all()
    assert centred(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == pytest.approx([-0.5, 0.5])


@pytest.mark.parametrize(("size", "published"), [("S", 18e6), ("M", 37e6)])
def test_sizes_have_the_published_number_of_parameters(size, published):
    """DreamerV3's count: pictures only, and neither semantic head nor ensemble."""
    with torch.device("meta"):  # counts without drawing millions of numbers
        model = WorldModel(WorldModelConfig(size=size), 0, 6, True)
        switch = Switch("none", ExplorationConfig(), ["extrinsic"], 0.99)
        behaviour = Behaviour(model.size, 6, True, 0.01, ["extrinsic"], switch, BehaviourConfig())
    parts = [model, behaviour.actor, behaviour.critic]
    count = sum(parameter.numel() for part in parts for parameter in part.parameters())
    count -= sum(parameter.numel() for parameter in model.reward_heads["semantic"].parameters())
    assert count == pytest.approx(published, rel=0.02)
