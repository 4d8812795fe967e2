"""PPO from Stable-Baselines3, the model-free baseline (paper Figures 7 and 13), on what the world-model agent sees: picture and flags.

The paper's PPO is that of the `embodied` library. Where Stable-Baselines3 has the same knob, it is set alike: Adam 3e-4 with
epsilon 1e-7, gradient norm 10, discount 1 - 1/200, lambda 0.8, ratio clip 0.2, entropy 0.01, value coefficient 0.5, sequences of
64 steps, every step learned from 3 times. What differs:

* networks: Stable-Baselines3's NatureCNN (256 features) on the picture, and IMPALA's where that is smaller than 36 pixels; flags
  appended, linear policy and value heads; embodied has an IMPALA encoder and a GRU, so that its policy remembers, ours does not;
* batches: 64 steps of every environment are collected, learned from in minibatches of 64 steps, and dropped; embodied makes one
  update per 64 x 65 steps, which at the length of a laptop study would be a few dozen updates in all;
* advantages are normalised by each minibatch, values not at all; embodied keeps running statistics. No warm-up of the step size.

Networks, rollout buffer and update are Stable-Baselines3's, its collecting loop is ours: no transition crosses the border of an episode,
and a time-out is bootstrapped with the value of the last observation.
"""

from typing import Any, ClassVar, NamedTuple

import numpy as np
import torch
from gymnasium.spaces import Box, Dict
from stable_baselines3 import PPO
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.torch_layers import CombinedExtractor
from stable_baselines3.common.utils import obs_as_tensor

from sensei.agents.contract import Agent, Phase, Rows
from sensei.agents.impala import ImpalaExtractor
from sensei.core.rng import integer_seed
from sensei.replay.step import Spaces
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings

CONSTANTS = {
    "learning_rate": 3e-4,
    "n_steps": 64,
    "batch_size": 64,
    "n_epochs": 3,
    "gamma": 1 - 1 / 200,
    "gae_lambda": 0.8,
    "clip_range": 0.2,
    "ent_coef": 0.01,
    "vf_coef": 0.5,
    "max_grad_norm": 10.0,
    "policy_kwargs": {"optimizer_kwargs": {"eps": 1e-7}},
}
LOGGED = ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
ROLLOUT = ("actions", "rewards", "returns", "episode_starts", "values", "log_probs", "advantages")  # as the rollout buffer calls them
NATURE = 36  # pixels that NatureCNN's convolutions need


class Taken(NamedTuple):
    """An action as it was drawn, the value of the state it was drawn in, and its log-probability; each [workers, ...]."""

    action: np.ndarray
    value: torch.Tensor
    log_probability: torch.Tensor


class PPOAgent(Agent):
    """Stable-Baselines3's PPO behind the contract. The library draws from global random streams, which the agent seeds and saves.

    Attributes:
        constants: what Stable-Baselines3's PPO is made with.
    """

    constants: ClassVar[dict[str, Any]] = CONSTANTS
    on_policy = True
    counts_for = CONSTANTS["n_epochs"]

    def __init__(
        self, spaces: Spaces, settings: Settings, method: Method, weights: ExplorationConfig, phase: Phase, seed: int, device: str = "cpu"
    ):
        side = settings.world_model.image_size
        self.discrete = spaces.discrete
        seed = integer_seed(seed, "ppo") % 2**32  # numpy's global stream takes no more
        networks = {"features_extractor_class": CombinedExtractor if side >= NATURE else ImpalaExtractor}
        constants = {**self.constants, "policy_kwargs": self.constants["policy_kwargs"] | networks}
        self.ppo = PPO("MultiInputPolicy", None, seed=seed, device=device, _init_setup_model=False, **constants)
        flags = {"flags": Box(0.0, 1.0, (spaces.flags,), np.float32)} if spaces.flags else {}
        self.ppo.observation_space = Dict({"image": Box(0, 255, (3, side, side), np.uint8), **flags})
        self.ppo.action_space, self.ppo.n_envs = spaces.action, settings.training.workers
        self.ppo._setup_model()
        self.ppo.set_logger(Logger(None, []))
        self.network, self.rollout = self.ppo.policy, self.ppo.rollout_buffer

    @torch.no_grad()
    def policy(self, rows: Rows, state: Taken | None, generator: torch.Generator | None = None) -> tuple[np.ndarray, Taken | None]:
        """Act by sampling; without a generator, as an action that is to be followed."""
        if generator is not None:
            return self._drawn_from(generator, observation_of(rows)), None
        action, value, log_probability = self.network(obs_as_tensor(observation_of(rows), self.ppo.device))
        action = action.cpu().numpy()
        return action if self.discrete else np.clip(action, -1, 1), Taken(action, value, log_probability)

    def _drawn_from(self, generator: torch.Generator, observation: dict[str, np.ndarray]) -> np.ndarray:
        distribution = self.network.get_distribution(self.network.obs_to_tensor(observation)[0]).distribution
        if self.discrete:
            return torch.multinomial(distribution.probs, 1, generator=generator).squeeze(1).cpu().numpy()
        return torch.normal(distribution.mean, distribution.stddev, generator=generator).clamp(-1, 1).cpu().numpy()

    @torch.no_grad()
    def follow(self, rows: Rows, state: Taken, ended: Rows, following: Rows) -> None:
        """Add a transition of every worker to the rollout; once it is full, compute returns and advantages."""
        reward, last = ended["reward"].copy(), observation_of(ended)
        for worker in np.flatnonzero(ended["is_last"] & ~ended["is_terminal"]):
            observation = {name: values[worker] for name, values in last.items()}
            reward[worker] += self.ppo.gamma * self.network.predict_values(self.network.obs_to_tensor(observation)[0])[0]
        self.rollout.add(observation_of(rows), state.action, reward, rows["is_first"], state.value, state.log_probability)
        if self.rollout.full:
            value = self.network.predict_values(obs_as_tensor(observation_of(following), self.ppo.device))
            self.rollout.compute_returns_and_advantage(last_values=value, dones=ended["is_last"])

    @property
    def ready(self) -> bool:
        """Whether the rollout is full."""
        return self.rollout.full

    def update(self, batch: None = None) -> dict[str, torch.Tensor]:
        """Learn from the rollout, and begin the next one."""
        self.ppo.train()
        losses = self.ppo.logger.name_to_value
        metrics = {f"loss/{name}": torch.tensor(losses[f"train/{name}"], dtype=torch.float64) for name in LOGGED}
        losses.clear()
        self.rollout.reset()
        return metrics

    def checkpoint(self) -> dict[str, Any]:
        """Weights, optimiser, random streams, and the rollout so far."""
        _, keys, *rest = np.random.get_state()  # noqa: NPY002
        rollout = {name: getattr(self.rollout, name) for name in ROLLOUT} | self.rollout.observations
        return {
            "weights": self.network.state_dict(),
            "optimiser": self.network.optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "numpy": (torch.from_numpy(keys.astype(np.int64)), *rest),
            "rollout": {name: torch.tensor(values[: self.rollout.pos]) for name, values in rollout.items()},
        }

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue exactly where `checkpoint` was taken."""
        self.network.load_state_dict(checkpoint["weights"])
        self.network.optimizer.load_state_dict(checkpoint["optimiser"])
        torch.set_rng_state(checkpoint["torch"].cpu())
        keys, *rest = checkpoint["numpy"]
        np.random.set_state(("MT19937", keys.cpu().numpy().astype(np.uint32), *rest))  # noqa: NPY002
        self.rollout.reset()
        for name, values in checkpoint["rollout"].items():
            array = self.rollout.observations[name] if name in self.rollout.observations else getattr(self.rollout, name)
            array[: len(values)] = values.cpu().numpy()
            self.rollout.pos = len(values)
        self.rollout.full = self.rollout.pos == self.rollout.buffer_size


def observation_of(rows: Rows) -> dict[str, np.ndarray]:
    """Rows as the policy takes them: image uint8 [workers, 3, H, H], and flags float32 [workers, n] where there are any."""
    observation = {"image": rows["image"].transpose(0, 3, 1, 2)}
    return observation | ({"flags": rows["flags"]} if rows["flags"].shape[1] else {})
