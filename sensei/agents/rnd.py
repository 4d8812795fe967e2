"""Random network distillation (Burda et al. 2019, arXiv 1810.12894): PPO on the error of predicting a random network's features.

The paper's baseline on Robodesk (Figures 6, 15, 16, 18), for which no code was released. From its text: PPO on the intrinsic reward alone,
predictor and target with three convolutions and five dense layers with residual connections, a LayerNorm on the input in place of running
statistics of observations. From Burda et al.: returns that know no end of an episode, discount 0.99, rewards divided by the running
standard deviation of discounted returns, a quarter of the experience for the predictor, Adam 1e-4.
"""

from itertools import pairwise
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import nn

from sensei.agents.contract import Agent, Phase, Rows
from sensei.agents.ppo import CONSTANTS, PPOAgent, Taken, observation_of
from sensei.core.rng import integer_seed
from sensei.replay.step import Spaces
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings

DISCOUNT, SHARE, LEARNING_RATE = 0.99, 0.25, 1e-4
CHANNELS, FEATURES, DENSE = (3, 32, 64, 64), 512, 5
LARGEST = 5.0  # of an observation in running standard deviations


class Features(nn.Module):
    """Three convolutions that halve the picture and five dense layers, the last four of which add to what they are given."""

    def __init__(self, side: int, flags: int):
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv2d(inputs, outputs, 3, stride=2, padding=1) for inputs, outputs in pairwise(CHANNELS))
        for _ in self.convolutions:
            side = (side + 1) // 2
        widths = CHANNELS[-1] * side**2 + flags, *(FEATURES,) * DENSE
        self.dense = nn.ModuleList(nn.Linear(inputs, outputs) for inputs, outputs in pairwise(widths))
        for layer in (*self.convolutions, *self.dense):
            nn.init.orthogonal_(layer.weight, 2**0.5)
            nn.init.zeros_(layer.bias)

    def forward(self, image: torch.Tensor, flags: torch.Tensor) -> torch.Tensor:
        """float [rows, 3, H, W], float [rows, n] -> float [rows, 512]."""
        for layer in self.convolutions:
            image = F.leaky_relu(layer(image))
        first, *others = self.dense
        x = first(torch.cat([image.flatten(1), flags], 1))
        for layer in others:
            x = x + layer(F.leaky_relu(x))
        return x


class RNDAgent(PPOAgent, Agent):
    """Explores where a predictor does not yet know what a fixed random network says of the observation.

    Attributes:
        running: whether observations are divided by running statistics (Burda et al.) in place of the LayerNorm on each (the paper).
    """

    constants = CONSTANTS | {"gamma": DISCOUNT}
    explores = True
    learns = False
    on_policy = True
    behaviours = ("explore",)
    running = False

    def __init__(
        self, spaces: Spaces, settings: Settings, method: Method, weights: ExplorationConfig, phase: Phase, seed: int, device: str = "cpu"
    ):
        super().__init__(spaces, settings, method, weights, phase, seed, device)
        side = settings.world_model.image_size
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(integer_seed(seed, "rnd"))
            self.target, self.predictor = (Features(side, spaces.flags).to(device) for _ in range(2))
        self.target.requires_grad_(False)
        self.optimiser = torch.optim.Adam(self.predictor.parameters(), LEARNING_RATE)
        self.returns, self.spread = np.zeros(settings.training.workers), RunningMeanStd()
        self.pictures = RunningMeanStd(shape=(3, side, side))

    def follow(self, rows: Rows, state: Taken, ended: Rows, following: Rows) -> None:
        """Add a transition of every worker, with the novelty of what it led to as reward; episodes do not end the return."""
        never = np.zeros(len(self.returns), bool)
        reward = self.scaled(self.novelty(ended))
        self.rollout.add(observation_of(rows), state.action, reward, never, state.value, state.log_probability)
        if self.rollout.full:
            with torch.no_grad():
                value = self.network.predict_values(self.network.obs_to_tensor(observation_of(following))[0])
            self.rollout.compute_returns_and_advantage(last_values=value, dones=never)

    @torch.no_grad()
    def novelty(self, rows: Rows) -> np.ndarray:
        """Mean squared error of the predictor, float [workers]; counts the pictures into the running statistics."""
        if self.running:
            self.pictures.update(rows["image"].transpose(0, 3, 1, 2))
        return self._error(**observation_of(rows)).cpu().numpy()

    def scaled(self, novelty: np.ndarray) -> np.ndarray:
        """Rewards divided by the running standard deviation of their discounted sums, which no end of an episode resets."""
        self.returns = DISCOUNT * self.returns + novelty
        self.spread.update(self.returns)
        return (novelty / np.sqrt(self.spread.var + 1e-8)).astype(np.float32)

    def update(self, batch: None = None) -> dict[str, torch.Tensor]:
        """Learn policy and predictor from the rollout, and begin the next one."""
        seen = {name: values.reshape(-1, *values.shape[2:]).copy() for name, values in self.rollout.observations.items()}
        novelty = torch.tensor(self.rollout.rewards.mean(), dtype=torch.float64)
        metrics = super().update(batch)
        losses = []
        for _ in range(self.ppo.n_epochs):
            for chosen in torch.randperm(len(seen["image"])).split(self.ppo.batch_size):
                error = self._error(**{name: values[chosen.numpy()] for name, values in seen.items()})
                kept = (torch.rand(len(error)) < SHARE).to(error)
                loss = (error * kept).sum() / kept.sum().clamp(min=1)
                self.optimiser.zero_grad()
                loss.backward()
                self.optimiser.step()
                losses.append(loss.detach())
        return metrics | {"loss/predictor": torch.stack(losses).mean(), "explore/intrinsic_reward": novelty}

    def _error(self, image: np.ndarray, flags: np.ndarray | None = None) -> torch.Tensor:
        """Squared error of the predictor, mean over features: uint8 [rows, 3, H, W], float32 [rows, n] -> float [rows]."""
        device = self.ppo.device
        pictures = torch.from_numpy(image).to(device).float()
        if self.running:
            mean, deviation = (torch.from_numpy(part).to(pictures) for part in (self.pictures.mean, np.sqrt(self.pictures.var + 1e-8)))
            pictures = ((pictures - mean) / deviation).clamp(-LARGEST, LARGEST)
        else:
            pictures = F.layer_norm(pictures, pictures.shape[1:])
        said = torch.zeros(len(pictures), 0) if flags is None else torch.from_numpy(flags)
        given = pictures, said.to(pictures)
        return (self.predictor(*given) - self.target(*given)).square().mean(1)

    def checkpoint(self) -> dict[str, Any]:
        """What PPO has, both networks, and the running statistics."""
        parts = {
            "predictor": self.predictor.state_dict(),
            "target": self.target.state_dict(),
            "predictor_optimiser": self.optimiser.state_dict(),
        }
        statistics = [self.returns, self.spread.mean, self.spread.var, self.spread.count]
        statistics += [self.pictures.mean, self.pictures.var, self.pictures.count]
        return super().checkpoint() | parts | {"statistics": [torch.as_tensor(value, dtype=torch.float64) for value in statistics]}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where `checkpoint` was taken."""
        super().restore(checkpoint)
        self.predictor.load_state_dict(checkpoint["predictor"])
        self.target.load_state_dict(checkpoint["target"])
        self.optimiser.load_state_dict(checkpoint["predictor_optimiser"])
        returns, *others = (value.cpu().numpy() for value in checkpoint["statistics"])
        self.returns = returns.copy()
        for statistics, (mean, variance, count) in ((self.spread, others[:3]), (self.pictures, others[3:])):
            statistics.mean, statistics.var, statistics.count = mean.copy(), variance.copy(), float(count)


class RunningRNDAgent(RNDAgent):
    """The same with running statistics of observations, as Burda et al. have it."""

    explores = True
    learns = False
    running = True
