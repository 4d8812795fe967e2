"""Actor and critics against numpy: probabilities, gradients, targets and weights."""

import copy

import numpy as np
import pytest
import torch
from fakes.agents import ACTIONS, HORIZON, ROWS, WEIGHTS
from fakes.tiny import SIZE, shake
from scipy.stats import norm

from sensei.agents.actor_critic import Actor, Behaviour, Rewards
from sensei.exploration.sources import Rollout
from sensei.exploration.switch import Switch
from sensei.study.models.behaviour import BehaviourConfig
from sensei.study.models.exploration import ExplorationConfig
from sensei.world_model.rssm import RSSM, State, one_hot


def behaviour(discrete: bool = True, sources: tuple[str, ...] = ("extrinsic",), gate: str = "none", **changes) -> Behaviour:
    torch.manual_seed(0)
    weights = WEIGHTS if len(sources) > 1 else ExplorationConfig(go={"extrinsic": 1}, explore={"extrinsic": 1})
    config = BehaviourConfig(horizon=HORIZON, **changes)
    return Behaviour(SIZE, ACTIONS, discrete, 0.01, list(sources), Switch(gate, weights, list(sources), 0.99), config)


def states(rows: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, SIZE.deter, generator=generator), torch.randint(SIZE.classes, (rows, SIZE.stoch), generator=generator)


def rollout(discrete: bool = True) -> Rollout:
    deter, index = states((HORIZON + 1) * ROWS)
    generator = torch.Generator().manual_seed(1)
    action = one_hot(torch.randint(ACTIONS, (HORIZON, ROWS, 1), generator=generator), ACTIONS)
    stoch = index.unflatten(0, (HORIZON + 1, ROWS))
    if not discrete:
        action, stoch = torch.randn(HORIZON, ROWS, ACTIONS, generator=generator), one_hot(stoch, SIZE.classes)
    return Rollout.of(deter.unflatten(0, (HORIZON + 1, ROWS)), stoch, action)


def rewards(sources: int = 1, scale: float = 1.0, seed: int = 2) -> Rewards:
    rng = np.random.default_rng(seed)
    continuation = rng.random((HORIZON + 1, ROWS)).astype(np.float32)
    continuation[0] = [1, 1, 0, 1, 1]  # row 2 starts at the end of an episode
    values = (scale * rng.normal(size=(sources, HORIZON, ROWS))).astype(np.float32)
    return Rewards(
        torch.from_numpy(values), torch.from_numpy(rng.normal(size=(HORIZON, ROWS)).astype(np.float32)), torch.from_numpy(continuation)
    )


def softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


class Recorder:
    """Stands for an optimiser: keeps the loss and its gradient, moves nothing."""

    def __init__(self, module: torch.nn.Module):
        self.named = dict(module.named_parameters())

    def step(self, loss: torch.Tensor) -> torch.Tensor:
        self.backward(loss)
        return self.move()

    def backward(self, loss: torch.Tensor) -> None:
        self.loss = loss.item()
        gradients = torch.autograd.grad(loss, list(self.named.values()), allow_unused=True, retain_graph=True)
        self.gradient = dict(zip(self.named, gradients, strict=True))

    def move(self) -> torch.Tensor:
        return torch.tensor(self.loss)


def record(agent: Behaviour) -> tuple[Recorder, Recorder]:
    agent.optimisers = {"actor": Recorder(agent.actor), "critic": Recorder(agent.critic)}
    return agent.optimisers["actor"], agent.optimisers["critic"]


def numpy_weight(continuation: np.ndarray) -> np.ndarray:
    """Weight of step t: product of the discount and the continuation of all states up to t, the first one not discounted."""
    return np.stack([np.prod([continuation[i] * (1 - 1 / 333 if i else 1) for i in range(t + 1)], axis=0) for t in range(HORIZON)])


def numpy_returns(reward: np.ndarray, value: np.ndarray, continuation: np.ndarray) -> np.ndarray:
    returns, following = np.zeros_like(reward), value[-1]
    for t in reversed(range(HORIZON)):
        following = reward[t] + (1 - 1 / 333) * continuation[t + 1] * (0.05 * value[t + 1] + 0.95 * following)
        returns[t] = following
    return returns


def numpy_value(critic, deter: torch.Tensor, stoch: torch.Tensor, head: int) -> np.ndarray:
    logits = critic(deter.flatten(0, 1), stoch.flatten(0, 1))[head].detach().double().numpy()
    inner = softmax(logits) @ np.linspace(-20, 20, 255)
    return (np.sign(inner) * np.expm1(np.abs(inner))).reshape(deter.shape[:2])


# Actor ------------------------------------------------------------------------------------------------------------------


def test_discrete_actor_is_a_softmax_with_one_percent_uniform():
    actor = shake(Actor(SIZE, ACTIONS, True, 0.01))
    deter, index = states(6)
    p = 0.99 * softmax(actor.head(deter, index)[0].detach().double().numpy()) + 0.01 / ACTIONS
    chosen = np.array([0, 1, 2, 0, 1, 2])
    log_p, entropy = actor.evaluate(deter, index, torch.from_numpy(np.eye(ACTIONS)[chosen]).float())
    np.testing.assert_allclose(log_p.detach(), np.log(p[np.arange(6), chosen]), rtol=1e-4)
    np.testing.assert_allclose(entropy.detach(), -(p * np.log(p)).sum(-1), rtol=1e-4)


def test_discrete_actor_samples_its_probabilities():
    actor, rows = shake(Actor(SIZE, ACTIONS, True, 0.01)), 20_000
    deter, index = (part.expand(rows, -1) for part in states(1))
    noise = actor.noise((rows,), torch.Generator().manual_seed(0))
    share = actor.sample(deter, index, noise).mean(0).detach().numpy()
    p = 0.99 * softmax(actor.head(deter[:1], index[:1])[0, 0].detach().double().numpy()) + 0.01 / ACTIONS
    np.testing.assert_allclose(share, p, atol=5 * np.sqrt(0.25 / rows))


def test_continuous_actor_is_a_bounded_normal():
    actor = shake(Actor(SIZE, ACTIONS, False, 0.01))
    deter, index = states(6)
    output = 3 * actor.head(deter, index)[0].detach().double().numpy()
    actor.head.output.data *= 3
    actor.head.output_bias.data *= 3
    mean, std = np.tanh(output[:, :ACTIONS]), 0.9 / (1 + np.exp(-(output[:, ACTIONS:] + 2))) + 0.1
    noise = torch.randn(6, ACTIONS, generator=torch.Generator().manual_seed(0))
    action = actor.sample(deter, index, noise)
    np.testing.assert_allclose(action.detach(), mean + std * noise.numpy(), atol=1e-4)
    log_p, entropy = actor.evaluate(deter, index, action.detach())
    np.testing.assert_allclose(log_p.detach(), norm(mean, std).logpdf(action.detach()).sum(-1), atol=1e-3)
    np.testing.assert_allclose(entropy.detach(), (0.5 * np.log(2 * np.pi * np.e * std**2)).sum(-1), atol=1e-4)


def test_continuous_actor_keeps_its_bounds():
    actor = Actor(SIZE, 1, False, 0.01)
    actor.head.output.data.zero_()
    deter, index = states(1)
    for bias, mean, std in ((100.0, 1.0, 1.0), (-100.0, -1.0, 0.1)):
        actor.head.output_bias.data[:] = bias
        low, high = (actor.sample(deter, index, torch.tensor([[noise]])).item() for noise in (-1.0, 1.0))
        assert ((low + high) / 2, (high - low) / 2) == pytest.approx((mean, std))


# Imagination --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discrete", [True, False])
def test_imagination_follows_actor_and_prior(discrete):
    agent, rssm = behaviour(discrete), shake(RSSM(SIZE, 5, ACTIONS, 0.01))
    start = State(*states(ROWS))
    dream = agent.imagine(rssm, start, torch.Generator().manual_seed(0))
    assert dream.deter.shape == (HORIZON + 1, ROWS, SIZE.deter)
    assert dream.action.shape == (HORIZON, ROWS, ACTIONS)
    index = dream.stoch if discrete else dream.stoch.unflatten(-1, (SIZE.stoch, SIZE.classes)).argmax(-1)
    assert torch.equal(dream.deter[0], start.deter)
    assert torch.equal(index[0], start.index)
    for t in range(HORIZON):
        following, _, _ = rssm.imagine_step(dream.deter[t], index[t], dream.action[t], torch.zeros(ROWS, SIZE.stoch))
        np.testing.assert_allclose(dream.deter[t + 1].detach(), following.detach(), atol=1e-5)
    again = agent.imagine(rssm, start, torch.Generator().manual_seed(0))
    assert torch.equal(dream.deter, again.deter)
    assert not torch.equal(dream.deter, agent.imagine(rssm, start, torch.Generator().manual_seed(1)).deter)


def test_gradients_reach_the_continuous_actor_through_the_dynamics_and_the_discrete_one_not():
    rssm, start = shake(RSSM(SIZE, 5, ACTIONS, 0.01)), State(*states(ROWS))
    continuous, discrete = behaviour(False), behaviour(True)
    dream = continuous.imagine(rssm, start, torch.Generator().manual_seed(0))
    dream.deter[-1].sum().backward()
    assert continuous.actor.head.output.grad.abs().sum() > 0
    assert not discrete.imagine(rssm, start, torch.Generator().manual_seed(0)).deter.requires_grad


# Actor's loss ---------------------------------------------------------------------------------------------------------------


def test_reinforce_gradient_is_the_analytic_one():
    """d loss / d logits = -weight (A (1[a] - p) q / pi + entropy's), with pi = 0.99 q + 0.01 / n, averaged over all steps."""
    agent = behaviour(entropy=0.05)
    shake(agent.actor)
    shake(agent.critic, seed=1)
    actor, _ = record(agent)
    dream, given = rollout(), rewards(scale=30.0)
    agent.update(dream, given)
    continuation, reward = given.continuation.double().numpy(), given.sources[0].double().numpy()
    value = numpy_value(agent.critic, dream.deter, dream.stoch, 0)
    returns = numpy_returns(reward, value, continuation)
    scale = max(1, 0.01 * (np.percentile(returns, 95) - np.percentile(returns, 5)))
    advantage, weight = (returns - value[:-1]) / scale, numpy_weight(continuation)
    logits = agent.actor.head(dream.deter[:-1].flatten(0, 1), dream.stoch[:-1].flatten(0, 1))[0].detach().double().numpy()
    q = softmax(logits).reshape(HORIZON, ROWS, ACTIONS)
    pi = 0.99 * q + 0.01 / ACTIONS
    chosen = dream.action.double().numpy()
    log_p, entropy = (chosen * np.log(pi)).sum(-1), -(pi * np.log(pi)).sum(-1)
    assert actor.loss == pytest.approx(-(weight * (log_p * advantage + 0.05 * entropy)).mean(), rel=1e-3)
    to_pi = chosen / pi * advantage[..., None] - 0.05 * (np.log(pi) + 1)
    to_logits = 0.99 * q * (to_pi - (q * to_pi).sum(-1, keepdims=True))
    expected = -(weight[..., None] * to_logits).sum((0, 1)) / (HORIZON * ROWS)
    np.testing.assert_allclose(actor.gradient["head.output_bias"][0, 0].numpy(), expected, rtol=1e-3, atol=1e-6)


def test_an_action_better_than_expected_becomes_likelier():
    agent = behaviour(learning_rate=1e-2)
    dream = rollout()
    chosen = dream.action.argmax(-1)
    given = Rewards((chosen == 1).float().unsqueeze(0), None, torch.cat([torch.ones(1, ROWS), torch.zeros(HORIZON, ROWS)]))
    first = (dream.deter[0], dream.stoch[0], one_hot(torch.ones(ROWS, 1, dtype=torch.int64), ACTIONS))
    before = agent.actor.evaluate(*first)[0].mean().item()
    for _ in range(20):
        agent.update(dream, given)
    assert agent.actor.evaluate(*first)[0].mean().item() > before + 0.1


@pytest.mark.parametrize("gate", ["none", "reward_quantile", "return_range"])
def test_advantages_of_sources_are_normalised_apart_and_weighed_by_the_gate(gate):
    """A = sum_i w_i (G_i - V_i) / S_i / sum of explore weights."""
    agent = behaviour(sources=("semantic", "disagreement"), gate=gate, entropy=0.0)
    shake(agent.critic, seed=1)
    actor, _ = record(agent)
    dream, given = rollout(), rewards(sources=2, scale=300.0)
    metrics = agent.update(dream, given)
    continuation = given.continuation.double().numpy()
    advantage, returns = 0, []
    for source in range(2):
        value = numpy_value(agent.critic, dream.deter, dream.stoch, source)
        returns.append(numpy_returns(given.sources[source].double().numpy(), value, continuation))
        scale = max(1, 0.01 * (np.percentile(returns[-1], 95) - np.percentile(returns[-1], 5)))
        assert scale > 1
        if source == 0:
            semantic = given.semantic.double().numpy()
            spread = 0.01 * (np.percentile(returns[0], 60) - np.percentile(returns[0], 5))
            explores = {
                "none": np.ones_like(semantic, dtype=bool),
                "reward_quantile": semantic >= np.percentile(semantic, 60),
                "return_range": returns[0] >= max(1, spread),
            }[gate]
        weight = np.where(explores, [0.3, 1.0][source], [1.0, 0.1][source]) / 1.3
        advantage = advantage + weight * (returns[-1] - value[:-1]) / scale
    log_p, _ = agent.actor.evaluate(dream.deter[:-1].flatten(0, 1), dream.stoch[:-1].flatten(0, 1), dream.action.flatten(0, 1))
    log_p = log_p.detach().double().numpy().reshape(HORIZON, ROWS)
    assert actor.loss == pytest.approx(-(numpy_weight(continuation) * log_p * advantage).mean(), rel=1e-3)
    assert metrics["explore_share"].item() == pytest.approx(explores.mean())


def test_continuous_actor_climbs_the_advantage_itself():
    """No score function: the loss is minus the weighted advantage and entropy, with a gradient through rewards and values."""
    agent = behaviour(discrete=False, entropy=0.02)
    shake(agent.critic, seed=1)
    rssm = shake(RSSM(SIZE, 5, ACTIONS, 0.01))
    actor, critic = record(agent)
    dream = agent.imagine(rssm, State(*states(ROWS)), torch.Generator().manual_seed(0))
    continuation = torch.full((HORIZON + 1, ROWS), 0.9)
    given = Rewards(dream.deter[1:].sum(-1).unsqueeze(0), None, continuation)
    agent.update(dream, given)
    value = numpy_value(agent.critic, dream.deter, dream.stoch, 0)
    returns = numpy_returns(given.sources[0].detach().double().numpy(), value, continuation.double().numpy())
    _, entropy = agent.actor.evaluate(
        dream.deter[:-1].detach().flatten(0, 1), dream.stoch[:-1].detach().flatten(0, 1), dream.action.flatten(0, 1)
    )
    entropy = entropy.detach().double().numpy().reshape(HORIZON, ROWS)
    scale = max(1, 0.01 * (np.percentile(returns, 95) - np.percentile(returns, 5)))
    gain = (returns - value[:-1]) / scale + 0.02 * entropy
    assert actor.loss == pytest.approx(-(numpy_weight(continuation.double().numpy()) * gain).mean(), rel=1e-3)
    assert actor.gradient["head.output"].abs().sum() > 0
    assert critic.gradient["output"].abs().sum() > 0


def test_nothing_is_learned_from_states_at_the_end_of_an_episode():
    """A row whose start is terminal, and all steps after an imagined end, have no weight."""
    agent = behaviour(slow_weight=0)
    shake(agent.actor)
    shake(agent.critic, seed=1)
    actor, critic = record(agent)
    dream, given = rollout(), rewards(scale=3.0)
    given.continuation[2, 4] = 0  # row 4 ends at state 2
    agent.update(dream, given)
    actor_loss, critic_loss = actor.loss, critic.loss
    agent.scale.load_state_dict({"low": torch.zeros(1), "high": torch.zeros(1)})
    given.sources[:, :, 2] += 1e-3 * torch.arange(HORIZON)  # too little to change the scale
    given.sources[:, 2:, 4] += 1e-3
    agent.update(dream, given)
    assert (actor.loss, critic.loss) == pytest.approx((actor_loss, critic_loss), rel=1e-5)
    given.sources[:, 1, 4] += 0.5
    agent.update(dream, given)
    assert critic.loss != pytest.approx(critic_loss, rel=1e-5)


# Critics --------------------------------------------------------------------------------------------------------------------


def test_critic_loss_is_the_two_hot_likelihood_of_return_and_slow_value():
    agent = behaviour(sources=("semantic", "disagreement"), slow_weight=0.7)
    shake(agent.critic, seed=1)
    shake(agent.slow_critic, seed=2)
    _, critic = record(agent)
    dream, given = rollout(), rewards(sources=2, scale=30.0)
    slow_critic = copy.deepcopy(agent.slow_critic)
    agent.update(dream, given)
    continuation = given.continuation.double().numpy()
    expected = 0.0
    for source in range(2):
        value = numpy_value(agent.critic, dream.deter, dream.stoch, source)
        logits = agent.critic(dream.deter[:-1].flatten(0, 1), dream.stoch[:-1].flatten(0, 1))[source].detach().double().numpy()
        log_p = np.log(softmax(logits))
        for target, factor in (
            (numpy_returns(given.sources[source].double().numpy(), value, continuation), 1.0),
            (numpy_value(slow_critic, dream.deter[:-1], dream.stoch[:-1], source), 0.7),
        ):
            position = ((np.sign(target) * np.log1p(np.abs(target)) + 20) / 40 * 254).ravel()
            below, rows = np.floor(position).astype(int), np.arange(HORIZON * ROWS)
            share = position - below
            loss = -((1 - share) * log_p[rows, below] + share * log_p[rows, below + 1])
            expected += factor * (numpy_weight(continuation).ravel() * loss).mean()
    assert critic.loss == pytest.approx(expected, rel=1e-3)


def test_every_source_has_a_critic_of_its_own():
    """Another reward of one source moves its head alone, in value and slow copy."""
    first, second = (behaviour(sources=("semantic", "disagreement", "extrinsic")) for _ in range(2))
    assert first.critic.heads == 3
    dream, given = rollout(), rewards(sources=3, scale=5.0)
    changed = given._replace(sources=given.sources.clone())
    changed.sources[1] += 4
    for _ in range(2):  # the hidden layers move from the second update on, as the output starts at zero
        first.update(dream, given)
        second.update(dream, changed)
    for parameter, axis in first.critic.head_axes().items():
        name = next(name for name, value in first.critic.named_parameters() if value is parameter)
        other = dict(second.critic.named_parameters())[name]
        same = [torch.equal(parameter.select(axis, head), other.select(axis, head)) for head in range(3)]
        assert same == [True, False, True], name


def test_new_critics_expect_nothing():
    agent = behaviour(sources=("semantic", "disagreement"))
    deter, index = states(4)
    for source in range(2):
        assert numpy_value(agent.critic, deter[None], index[None], source) == pytest.approx(0, abs=1e-6)


def test_slow_critic_follows_by_its_rate():
    agent = behaviour(slow_rate=0.25, learning_rate=1e-2)
    before = [parameter.clone() for parameter in agent.slow_critic.parameters()]
    agent.update(rollout(), rewards(scale=10.0))
    moved = 0
    for old, slow, fast in zip(before, agent.slow_critic.parameters(), agent.critic.parameters(), strict=True):
        np.testing.assert_allclose(slow.detach(), 0.75 * old + 0.25 * fast.detach(), atol=1e-6)
        assert not slow.requires_grad
        moved += (slow != old).sum().item()
    assert moved > 0


def test_critics_learn_the_discounted_sum():
    """A constant reward and no end: the critic's value approaches the return it is trained on."""
    agent = behaviour(learning_rate=3e-3, discount=0.5, slow_weight=0)
    dream = rollout()
    given = Rewards(torch.full((1, HORIZON, ROWS), 2.0), None, torch.ones(HORIZON + 1, ROWS))
    for _ in range(400):
        agent.update(dream, given)
    np.testing.assert_allclose(numpy_value(agent.critic, dream.deter[:-1], dream.stoch[:-1], 0), 4, rtol=0.1)
