"""World model: encoder, dynamics, heads and their losses (paper section 2, Eqs. 1-5; Appendix B)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from sensei.kernels.pictures import picture_error
from sensei.study.models.world_model import WorldModelConfig
from sensei.world_model.distributions import BINS, categorical_entropy, categorical_kl, symlog, two_hot_loss, two_hot_mean
from sensei.world_model.networks import BatchedMLP, ImageDecoder, ImageEncoder, Linear, mlp
from sensei.world_model.rssm import RSSM, Observed, State, one_hot
from sensei.world_model.sizes import size_of


class Batch(NamedTuple):
    """A replay batch; every array is [batch, time, ...].

    Attributes:
        image: uint8 [..., H, W, 3].
        flags: float [..., flags].
        action: float [..., actions], the action taken *after* the step (one-hot where discrete).
        reward, semantic: float, what arrived with the observation; semantic is R_psi of the observation.
        task_rewards: float [..., tasks], the rewards of all tasks that the environment knows.
        is_first, is_terminal: bool.
    """

    image: torch.Tensor
    flags: torch.Tensor
    action: torch.Tensor
    reward: torch.Tensor
    semantic: torch.Tensor
    task_rewards: torch.Tensor
    is_first: torch.Tensor
    is_terminal: torch.Tensor

    def flags_gained(self) -> torch.Tensor:
        """How many flags turn on a step: float []."""
        gained = (self.flags[:, 1:] - self.flags[:, :-1]).clamp(min=0).sum(-1)
        return (gained * ~self.is_first[:, 1:]).mean()


class WorldModel(nn.Module):
    """DreamerV3's world model with a semantic reward head.

    Args:
        reward_gradient: whether the reward head shapes the features (task phase) or only reads them (exploration). The
            semantic head always only reads them.
        tasks: reward heads beside these, one a task, which only read the features: what the model knows of tasks nobody pays for.
    """

    def __init__(self, config: WorldModelConfig, flags: int, actions: int, reward_gradient: bool, tasks: int = 0):
        super().__init__()
        size = size_of(config)
        self.config, self.size, self.flags, self.reward_gradient = config, size, flags, reward_gradient
        flat = size.stoch * size.classes
        features = size.deter + flat
        self.image_encoder = ImageEncoder(config.image_size, size.depth)
        self.flags_encoder = mlp(flags, size.vector_units, size.vector_layers) if flags else None
        embedding = self.image_encoder.outputs + (size.vector_units if flags else 0)
        self.rssm = RSSM(size, embedding, actions, config.uniform_mix)
        self.image_decoder = ImageDecoder(features, config.image_size, size.depth)
        self.flags_decoder = (
            nn.Sequential(mlp(features, size.vector_units, size.vector_layers), Linear(size.vector_units, flags)) if flags else None
        )
        self.continue_head = BatchedMLP(1, size.deter, flat, 0, size.units, size.layers, 1)
        self.reward_heads = nn.ModuleDict(
            {name: BatchedMLP(1, size.deter, flat, 0, size.units, size.layers, BINS, scale=0) for name in ("extrinsic", "semantic")}
        )
        self.task_heads = BatchedMLP(tasks, size.deter, flat, 0, size.units, size.layers, BINS, scale=0) if tasks else None

    def embed(self, image: torch.Tensor, flags: torch.Tensor) -> torch.Tensor:
        """uint8 [rows, H, W, 3], float [rows, flags] -> float [rows, embedding]."""
        embedded = self.image_encoder(image)
        return embedded if self.flags_encoder is None else torch.cat([embedded, self.flags_encoder(symlog(flags))], -1)

    def observe(self, batch: Batch, uniform: torch.Tensor) -> Observed:
        """Posterior states of a batch; `uniform` float [batch, time, stoch] is the randomness."""
        shape = batch.is_first.shape
        embedding = self.embed(batch.image.flatten(0, 1), batch.flags.flatten(0, 1)).unflatten(0, shape)
        previous = torch.cat([torch.zeros_like(batch.action[:, :1]), batch.action[:, :-1]], 1)
        is_first = batch.is_first.clone()
        is_first[:, 0] = True
        return self.rssm.observe(embedding, previous, is_first, uniform)

    def losses(self, batch: Batch, observed: Observed) -> dict[str, torch.Tensor]:
        """Weighted loss terms, each float [batch, time]; their sum is minimised."""
        shape = batch.is_first.shape
        deter, stoch = observed.deter.flatten(0, 1), observed.stoch.flatten(0, 1)
        features = torch.cat([deter, stoch], -1)
        frozen, config = (deter.detach(), observed.index.flatten(0, 1)), self.config
        losses = {"image": config.image_weight * picture_error(self.image_decoder(features), batch.image.flatten(0, 1))}
        if self.flags_decoder is not None:
            flags = batch.flags.flatten(0, 1)
            wrong = F.binary_cross_entropy_with_logits(self.flags_decoder(features), flags, reduction="none")
            losses["flags"] = config.flag_weight * wrong.sum(-1)
        alive = 1 - batch.is_terminal.flatten().float()
        losses["continue"] = F.binary_cross_entropy_with_logits(self.continue_head(deter, stoch)[0, :, 0], alive, reduction="none")
        inputs = (deter, stoch) if self.reward_gradient else frozen
        for name, head, states, target in (("reward", "extrinsic", inputs, batch.reward), ("semantic", "semantic", frozen, batch.semantic)):
            losses[name] = two_hot_loss(self.reward_heads[head](*states)[0], target.flatten())
        if self.task_heads is not None:
            losses["tasks"] = two_hot_loss(self.task_heads(*frozen), batch.task_rewards.flatten(0, 1).t()).sum(0)
        losses = {name: loss.view(shape) for name, loss in losses.items()}
        nats = config.free_nats if config.representation_free_nats is None else config.representation_free_nats
        dynamics = categorical_kl(observed.posterior.detach(), observed.prior).clamp(min=config.free_nats)
        representation = categorical_kl(observed.posterior, observed.prior.detach()).clamp(min=nats)
        losses |= {"dynamics": config.dynamics_scale * dynamics, "representation": config.representation_scale * representation}
        assert all(loss.shape == shape for loss in losses.values()), {name: loss.shape for name, loss in losses.items()}
        return losses

    def diagnostics(self, observed: Observed) -> dict[str, torch.Tensor]:
        """Scalars worth a look: entropies of posterior and prior in nats, and the KL between them."""
        with torch.no_grad():
            return {
                "posterior_entropy": categorical_entropy(observed.posterior).sum(-1).mean(),
                "prior_entropy": categorical_entropy(observed.prior).sum(-1).mean(),
                "kl": categorical_kl(observed.posterior, observed.prior).mean(),
            }

    def predict_flags(self, deter: torch.Tensor, stoch: torch.Tensor) -> torch.Tensor:
        """Probability that each flag is on: [rows, ...], stoch as classes or one-hot -> float [rows, flags]."""
        stoch = stoch if stoch.is_floating_point() else one_hot(stoch, self.size.classes)
        return torch.sigmoid(self.flags_decoder(torch.cat([deter, stoch], -1)).float())

    def predict_reward(self, name: str, deter: torch.Tensor, stoch: torch.Tensor) -> torch.Tensor:
        """Mean of a reward head (`extrinsic` or `semantic`): [rows, ...] -> float [rows]."""
        return two_hot_mean(self.reward_heads[name](deter, stoch)[0])

    def predict_continue(self, deter: torch.Tensor, stoch: torch.Tensor) -> torch.Tensor:
        """Probability that the episode goes on: [rows, ...] -> float [rows]."""
        return torch.sigmoid(self.continue_head(deter, stoch)[0, :, 0].float())

    def observe_step(
        self, state: State, action: torch.Tensor, image: torch.Tensor, flags: torch.Tensor, is_first: torch.Tensor, uniform: torch.Tensor
    ) -> State:
        """One posterior step while acting; all [rows, ...]."""
        return self.rssm.observe_step(state, action, self.embed(image, flags), is_first, uniform)
