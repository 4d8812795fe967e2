"""Actor and critics trained on imagined rollouts (DreamerV3; paper Appendix B).

Every reward source has its own critic and its own return scale; the actor follows the weighted sum of the normalised
advantages, with weights from the go/explore switch.
"""

import copy
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sensei.agents.optimiser import Optimiser
from sensei.agents.returns import ReturnScale, lambda_return
from sensei.agents.update import HERE, Side
from sensei.exploration.sources import Rollout, States
from sensei.exploration.switch import Switch
from sensei.kernels.categorical import draw, straight_through
from sensei.kernels.choice import card, frozen
from sensei.study.models.behaviour import BehaviourConfig
from sensei.world_model.distributions import BINS, categorical_entropy, log_probabilities, two_hot_losses, two_hot_mean
from sensei.world_model.networks import BatchedMLP
from sensei.world_model.rssm import RSSM, State, one_hot
from sensei.world_model.sizes import Size

MIN_STD, MAX_STD = 0.1, 1.0


class Rewards(NamedTuple):
    """What the world model says of a rollout.

    Attributes:
        sources: float [sources, horizon, rows], entry t for reaching state t + 1.
        semantic: float [horizon, rows], predicted semantic reward of the states 0..horizon - 1 themselves, or None.
        continuation: float [horizon + 1, rows], probability that the episode goes on.
    """

    sources: torch.Tensor
    semantic: torch.Tensor | None
    continuation: torch.Tensor


class Randomness(NamedTuple):
    """What a rollout draws from.

    Attributes:
        uniform: float [horizon, rows, stoch], for its states.
        noise: for its actions, as `Actor.noise` makes it, [horizon, rows, ...].
    """

    uniform: torch.Tensor
    noise: torch.Tensor


class Actor(nn.Module):
    """Policy on model states: one-hot with 1 % uniform mix, or a Normal with tanh mean and std in [0.1, 1]."""

    def __init__(self, size: Size, actions: int, discrete: bool, uniform_mix: float):
        super().__init__()
        self.actions, self.discrete, self.uniform_mix = actions, discrete, uniform_mix
        self.head = BatchedMLP(1, size.deter, size.stoch * size.classes, 0, size.units, size.layers, actions if discrete else 2 * actions)

    def noise(self, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
        """Randomness for actions of the given leading shape: uniform [...] if discrete, normal [..., actions] otherwise."""
        device = generator.device
        if self.discrete:
            return torch.rand(shape, generator=generator, device=device)
        return torch.randn((*shape, self.actions), generator=generator, device=device)

    def sample(self, deter: torch.Tensor, stoch: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Differentiable action: float [rows, actions]; one-hot if discrete, in [-1, 1] otherwise."""
        output = self.head(deter, stoch)[0]
        if self.discrete:
            return straight_through(*draw(output, self.uniform_mix, noise))
        mean, std = self._normal(output)
        return mean + std * noise

    def evaluate(self, deter: torch.Tensor, stoch: torch.Tensor, action: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Log-probability of given actions and entropy of the policy, both float [rows]."""
        output = self.head(deter, stoch)[0]
        if self.discrete:
            log_p = log_probabilities(output, self.uniform_mix)
            return (log_p * action).sum(-1), categorical_entropy(log_p)
        normal = torch.distributions.Normal(*self._normal(output), validate_args=False)  # a check would wait for the device
        return normal.log_prob(action).sum(-1), normal.entropy().sum(-1)

    def _normal(self, output: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        mean, std = output.float().chunk(2, -1)
        return torch.tanh(mean), (MAX_STD - MIN_STD) * torch.sigmoid(std + 2) + MIN_STD


class Behaviour(nn.Module):
    """An actor with one critic per reward source, and how both learn from a rollout."""

    def __init__(
        self, size: Size, actions: int, discrete: bool, uniform_mix: float, sources: list[str], switch: Switch, config: BehaviourConfig
    ):
        super().__init__()
        self.config, self.sources, self.switch = config, sources, switch
        self.actor = Actor(size, actions, discrete, uniform_mix)
        self.critic = BatchedMLP(len(sources), size.deter, size.stoch * size.classes, 0, size.units, size.layers, BINS, scale=0)
        self.slow_critic = copy.deepcopy(self.critic).requires_grad_(False)
        floors = [config.scale_floors.get(name, 1.0) for name in sources]
        self.scale = ReturnScale(floors, config.normaliser_decay, config.corrected_scales)
        rates = config.epsilon, config.clip
        self.optimisers = {
            "actor": Optimiser(self.actor.parameters(), config.actor_learning_rate or config.learning_rate, *rates),
            "critic": Optimiser(self.critic.parameters(), config.learning_rate, *rates, head_axes=self.critic.head_axes()),
        }

    def randomness(self, rssm: RSSM, rows: int, generator: torch.Generator) -> Randomness:
        """What a rollout of so many rows draws from."""
        uniform = torch.rand((self.config.horizon, rows, rssm.size.stoch), generator=generator, device=generator.device)
        return Randomness(uniform, self.actor.noise((self.config.horizon, rows), generator))

    def imagine(self, rssm: RSSM, start: State, generator: torch.Generator) -> Rollout:
        """Follow the actor from every start for `horizon` steps; gradients are kept only where the actor needs them."""
        (rollout,) = imagine_all(rssm, [self], [start], [self.randomness(rssm, len(start.deter), generator)])
        return rollout()

    def follow(self, rssm: RSSM, start: State, randomness: Randomness) -> Rollout:
        """`imagine` with given randomness, one step after another by PyTorch's operations and our kernels on a CPU."""
        (uniform, noise), discrete = randomness, self.actor.discrete
        deter, stoch = start.deter, start.index if discrete else one_hot(start.index, rssm.size.classes)
        deters, stochs, actions = [deter], [stoch], []
        with torch.set_grad_enabled(not discrete):
            for t in range(self.config.horizon):
                actions.append(self.actor.sample(deter.detach(), stoch.detach(), noise[t]))
                deter, index, prior = rssm.imagine_step(deter, stoch, actions[-1], uniform[t])
                stoch = index if discrete else straight_through(index, prior).flatten(1)
                deters.append(deter)
                stochs.append(stoch)
            return Rollout.of(torch.stack(deters), torch.stack(stochs), torch.stack(actions))

    def update(self, rollout: Rollout, rewards: Rewards, side: Side = HERE, moves: bool = True) -> dict[str, torch.Tensor]:
        """One step of the critics and, if it moves, of the actor on a rollout, side by side; returns scalars to log."""
        deter, stoch = rollout.deter.flatten(0, 1), rollout.stoch.flatten(0, 1)
        detached = deter.detach(), stoch.detach()
        shape = rewards.continuation.shape
        with side.work():  # a gradient is computed where the value was
            logits = self.critic(*detached).unflatten(1, shape)
        side.join()
        with torch.set_grad_enabled(not self.actor.discrete):
            value = two_hot_mean(logits.detach() if self.actor.discrete else self._value_logits(deter, stoch).unflatten(1, shape))
            discount = self.config.discount * rewards.continuation
            returns = lambda_return(rewards.sources, value, discount[1:], self.config.lambda_)
            weight = torch.cumprod(torch.cat([rewards.continuation[:1], discount[1:-1]]), 0).detach()
            advantage, explore_fraction = self._advantage(returns, value[:, :-1], rewards)
        with side.work():
            critic_loss = self._critic_gradient(logits[:, :-1], detached, returns.detach(), weight)
            if self.actor.discrete:
                critic_gradient = self._move_critic()
        metrics = self._update_actor(rollout, detached, advantage, weight, moves)
        side.join()
        if not self.actor.discrete:  # not before the gradient of the actor has gone back through it
            critic_gradient = self._move_critic()
        metrics |= {"critic_gradient": critic_gradient, "critic_loss": critic_loss, "explore_share": explore_fraction}
        for name, reward, source_return in zip(self.sources, rewards.sources, returns, strict=True):
            metrics |= {f"{name}_reward": reward.detach().mean(), f"{name}_return": source_return.detach().mean()}
        return metrics

    def _value_logits(self, deter: torch.Tensor, stoch: torch.Tensor) -> torch.Tensor:
        """The critic as a function of states, which leads the actor's gradient to them: float [sources, rows, bins]."""
        with frozen():
            return self.critic(deter, stoch)

    def _advantage(self, returns: torch.Tensor, value: torch.Tensor, rewards: Rewards) -> tuple[torch.Tensor, torch.Tensor]:
        semantic_return = returns[self.sources.index("semantic")] if "semantic" in self.sources else None
        weights, explore_fraction = self.switch(rewards.semantic, semantic_return)
        return (weights * (returns - value) / self.scale(returns)).sum(0), explore_fraction

    def _update_actor(
        self, rollout: Rollout, detached: States, advantage: torch.Tensor, weight: torch.Tensor, moves: bool
    ) -> dict[str, torch.Tensor]:
        horizon, rows = weight.shape
        states = [part.unflatten(0, (horizon + 1, rows))[:-1].flatten(0, 1) for part in detached]
        log_probability, entropy = self.actor.evaluate(*states, rollout.action.detach().flatten(0, 1))
        gain = log_probability.view(horizon, rows) * advantage.detach() if self.actor.discrete else advantage
        loss = -(weight * (gain + self.config.entropy * entropy.view(horizon, rows))).mean()
        gradient = self.optimisers["actor"].step(loss) if moves else torch.zeros_like(loss.detach())
        return {"actor_gradient": gradient, "actor_loss": loss.detach(), "entropy": entropy.detach().mean()}

    def _critic_gradient(self, logits: torch.Tensor, detached: States, returns: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Give the critics their gradients; returns their loss."""
        horizon, rows = weight.shape
        with torch.no_grad():
            slow = two_hot_mean(self.slow_critic(*(part[: horizon * rows] for part in detached)).unflatten(1, (horizon, rows)))
        to_returns, to_slow = two_hot_losses(logits, torch.stack([returns, slow]))
        loss = (weight * (to_returns + self.config.slow_weight * to_slow)).mean((1, 2)).sum()
        self.optimisers["critic"].backward(loss)
        return loss.detach()

    def _move_critic(self) -> torch.Tensor:
        """Move the critics, and the slow ones after them; returns their gradient norm."""
        norm = self.optimisers["critic"].move()
        with torch.no_grad():
            torch._foreach_lerp_(list(self.slow_critic.parameters()), list(self.critic.parameters()), self.config.slow_rate)
        return norm


def imagine_all(rssm: RSSM, behaviours: list[Behaviour], starts: list[State], randomness: list[Randomness]) -> list[Callable[[], Rollout]]:
    """What several behaviours imagine; each rollout is made ready where it is called for. On a graphics card they dream in step."""
    if not card(starts[0].deter):
        given = zip(behaviours, starts, randomness, strict=True)
        return [partial(behaviour.follow, rssm, start, random) for behaviour, start, random in given]
    from sensei.agents import dreaming  # needs Triton

    actors = [behaviour.actor for behaviour in behaviours]
    dreams = dreaming.follow(rssm, actors, starts, *map(list, zip(*randomness, strict=True)), (MIN_STD, MAX_STD))

    def rollout(actor: Actor, dreamt: dreaming.Dream, noise: torch.Tensor) -> Rollout:
        joint, features, action = dreaming.remembered(rssm, actor, dreamt, noise)
        return Rollout.of(features, features[..., :0].detach(), action, joint)

    return [partial(rollout, actor, dreamt, noise) for actor, dreamt, (_, noise) in zip(actors, dreams, randomness, strict=True)]


def action_tensor(action: torch.Tensor, actions: int, discrete: bool) -> torch.Tensor:
    """Environment actions as the model's: int64 [...] -> one-hot float [..., actions]; continuous ones pass through."""
    return F.one_hot(action.long(), actions).float() if discrete else action.float()
