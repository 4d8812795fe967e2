"""PPO from Stable-Baselines3, the model-free baseline (paper section 4.3), on what the world-model agent sees: picture and flags.

The paper's PPO is that of the `embodied` library. Where Stable-Baselines3 has the same knob, it is set alike: Adam 3e-4 with
epsilon 1e-7, gradient norm 10, discount 1 - 1/200, lambda 0.8, ratio clip 0.2, entropy 0.01, value coefficient 0.5, sequences of
64 steps, every step learned from 3 times. What differs:

* networks: Stable-Baselines3's NatureCNN (256 features) on the picture, flags appended, linear policy and value heads; embodied has
  an IMPALA encoder and a GRU, so that its policy remembers, ours does not;
* batches: 64 steps of every environment are collected, learned from in minibatches of 64 steps, and dropped; embodied makes one
  update per 64 x 65 steps, which at the length of a laptop study would be a few dozen updates in all;
* advantages are normalised by each minibatch, values not at all; embodied keeps running statistics. No warm-up of the step size.

Episodes are seeded as those of the world-model agent's environments. A finished episode is begun anew within the step, no
transition crosses the border, and a time-out is bootstrapped with the value of the last observation.
"""

import logging
from typing import Any

import numpy as np
import torch
from gymnasium.spaces import Box, Dict, Discrete
from stable_baselines3 import PPO
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger as SilentLogger
from stable_baselines3.common.vec_env import VecEnv

from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed
from sensei.envs.vector.environment import Rows, VectorEnvironment
from sensei.training import checkpoint
from sensei.training.episodes import Episodes
from sensei.training.evaluate import Evaluator, Policy
from sensei.training.logger import Logger
from sensei.training.outputs import STATE, start_anew, write_outputs
from sensei.training.run import Run

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
SMALLEST_IMAGE = 36  # pixels that NatureCNN's convolutions need

log = logging.getLogger("sensei.training")


def train_ppo(run: Run) -> None:
    """Carry out a task run of PPO; the outputs are those of `sensei.training.loop.train`, and so is what a killed run does.

    Raises:
        SenseiError: pictures too small for NatureCNN, the checkpoint there belongs to another configuration or is damaged, or a
            worker died.
    """
    settings = run.settings
    if settings.world_model.image_size < SMALLEST_IMAGE:
        raise SenseiError(
            f"{run.title}: `world_model.image_size` is too small for PPO's convolutions",
            found=settings.world_model.image_size,
            expected=f"at least {SMALLEST_IMAGE}",
        )
    start_anew(run)
    environments = VectorEnvironment(
        settings.environment, settings.world_model.image_size, run.seed, run.phase, settings.training.workers, task=run.task
    )
    with environments:
        experiment = Experiment(run, environments)
        try:
            experiment.run_to_the_end()
        finally:
            experiment.close()


def observation_of(rows: Rows) -> dict[str, np.ndarray]:
    """Rows as the policy takes them: image uint8 [W, 3, H, H], and flags float32 [W, n] where there are any."""
    observation = {"image": rows["image"].transpose(0, 3, 1, 2)}
    return observation | ({"flags": rows["flags"]} if rows["flags"].shape[1] else {})


class Environments(VecEnv):
    """Our environments behind Stable-Baselines3's interface; counts steps and follows the episodes."""

    def __init__(self, environments: VectorEnvironment, episodes: Episodes):
        height, width, channels = environments.image_shape
        spaces = {"image": Box(0, 255, (channels, height, width), np.uint8)}
        if environments.flags_size:
            spaces["flags"] = Box(0.0, 1.0, (environments.flags_size,), np.float32)
        self.environments, self.episodes, self.steps = environments, episodes, 0
        self.no_reward_model = np.full(environments.workers, np.nan, np.float32)
        self.rows: Rows = {}
        super().__init__(environments.workers, Dict(spaces), environments.action_space)

    def begin(self) -> None:
        """Begin the first episodes."""
        self.rows = self.environments.reset()
        self.episodes.observe(self.rows, self.no_reward_model, self.steps)

    def restore(self, steps: int, actions: list[np.ndarray]) -> None:
        """Go back into the episodes that the bookkeeping is in."""
        self.steps = steps
        self.rows = self.environments.restore(self.episodes.numbers, actions)

    def reset(self) -> dict[str, np.ndarray]:
        """The observation now: `learn` asks once, after `begin` or `restore`."""
        return observation_of(self.rows)

    def step_async(self, actions: np.ndarray) -> None:
        """Note the actions."""
        self.actions = actions

    def step_wait(self) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, list[dict[str, Any]]]:
        """Take the actions; finished episodes are begun anew, their last observations are in the infos."""
        self.episodes.act(self.actions)
        ended = self.rows = self.environments.step(self.actions)
        self.steps += self.num_envs
        self.episodes.observe(ended, self.no_reward_model, self.steps)
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        finished = np.flatnonzero(ended["is_last"])
        if len(finished):
            last = observation_of(ended)
            for worker in finished:
                observation = {name: values[worker] for name, values in last.items()}
                infos[worker] = {"terminal_observation": observation, "TimeLimit.truncated": not ended["is_terminal"][worker]}
            self.rows = self.environments.reset_finished()
            self.episodes.observe(self.rows, self.no_reward_model, self.steps, finished)
        return observation_of(self.rows), ended["reward"], ended["is_last"], infos

    def close(self) -> None:
        """The workers belong to the caller."""

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        """Only asked for `render_mode`: there is none."""
        assert attr_name == "render_mode", attr_name
        return [None] * self.num_envs

    def env_is_wrapped(self, wrapper_class: type, indices: Any = None) -> list[bool]:
        """No wrappers."""
        return [False] * self.num_envs

    def set_attr(self, attr_name: str, value: Any, indices: Any = None) -> None:
        """The environments live in other processes."""
        raise NotImplementedError(attr_name)

    def env_method(self, method_name: str, *method_args: Any, indices: Any = None, **method_kwargs: Any) -> list[Any]:
        """The environments live in other processes."""
        raise NotImplementedError(method_name)


class Experiment(BaseCallback):
    """A run of PPO, told of every step and every rollout: logs, evaluates, saves, and resumes between two rollouts."""

    def __init__(self, run: Run, environments: VectorEnvironment):
        super().__init__()
        training = run.settings.training
        self.run, self.training = run, training
        self.episodes = Episodes(environments.workers, environments.event_names, environments.state_names, keep=None)
        self.environments = Environments(environments, self.episodes)
        seed = integer_seed(run.seed, "ppo") % 2**32  # numpy's global stream takes no more; the library draws from global streams only
        self.ppo = PPO("MultiInputPolicy", self.environments, seed=seed, device=run.device, **CONSTANTS)
        self.ppo.set_logger(SilentLogger(None, []))
        self.log = Logger(run.state_folder, run.folder, training.log_every, run.steps, run.title, training.tensorboard)
        self.evaluator = Evaluator(run)
        self.saved_step = 0

    def run_to_the_end(self) -> None:
        """Start or resume, and go on until the last step; then write the outputs and drop the state."""
        path = self.run.state_folder / STATE
        if path.exists():
            self._restore(checkpoint.load(path, arrays=True))
        else:
            self.environments.begin()
        self.ppo.learn(self.run.steps - self.environments.steps, callback=self, log_interval=None, reset_num_timesteps=False)
        self._evaluate()
        agent = {"weights": self.ppo.policy.state_dict()}
        write_outputs(self.run, self.environments.steps, agent, self.episodes, self.log, self._policy, lambda workers: None)

    def _on_rollout_start(self) -> None:
        losses = self.ppo.logger.name_to_value
        self.log.add({f"loss/{name}": torch.tensor(losses[f"train/{name}"], dtype=torch.float64) for name in LOGGED if losses})
        losses.clear()
        if self.environments.steps - self.saved_step >= self.training.checkpoint_every:
            self._save()
        if self.environments.steps == 0:
            self._evaluate()

    def _on_step(self) -> bool:
        steps = self.environments.steps
        totals = {**self.episodes.totals, "episodes": float(len(self.episodes.finished))}
        self.log.advance(steps, self.ppo._n_updates, totals)
        if steps >= self.run.steps:
            return False
        self._evaluate()
        return True

    def _evaluate(self) -> None:
        self.evaluator.if_due(self.environments.steps, self._policy, lambda workers: None, self.log)

    def _policy(self, randomness: torch.Generator) -> Policy:
        """Acting by sampling, with randomness of its own so that training does not notice."""

        @torch.no_grad()
        def act(rows: Rows, state: None) -> tuple[np.ndarray, None]:
            observation = self.ppo.policy.obs_to_tensor(observation_of(rows))[0]
            distribution = self.ppo.policy.get_distribution(observation).distribution
            if isinstance(self.ppo.action_space, Discrete):
                return torch.multinomial(distribution.probs, 1, generator=randomness).squeeze(1).cpu().numpy(), None
            return torch.normal(distribution.mean, distribution.stddev, generator=randomness).clamp(-1, 1).cpu().numpy(), None

        return act

    def _save(self) -> None:
        """One consistent state between two rollouts."""
        state = {
            "identity": self.run.identity(),
            "step": self.environments.steps,
            "updates": self.ppo._n_updates,
            "evaluations": self.evaluator.number,
            "policy": self.ppo.policy.state_dict(),
            "optimiser": self.ppo.policy.optimizer.state_dict(),
            "torch": torch.get_rng_state(),
            "numpy": np.random.get_state(),  # noqa: NPY002
            "episodes": self.episodes.checkpoint(self.run.state_folder, self.environments.steps),
            "logger": self.log.checkpoint(),
        }
        checkpoint.save(self.run.state_folder / STATE, state)
        self.saved_step = self.environments.steps

    def _restore(self, state: dict[str, Any]) -> None:
        folder = self.run.state_folder
        checkpoint.check_identity(folder / STATE, state["identity"], self.run.identity())
        self.ppo.policy.load_state_dict(state["policy"])
        self.ppo.policy.optimizer.load_state_dict(state["optimiser"])
        self.ppo.num_timesteps = self.saved_step = state["step"]
        self.ppo._n_updates, self.evaluator.number = state["updates"], state["evaluations"]
        torch.set_rng_state(state["torch"].cpu())
        np.random.set_state(state["numpy"])  # noqa: NPY002
        self.episodes.restore(state["episodes"], folder, state["step"])
        self.log.restore(state["logger"], state["step"], state["updates"])
        self.environments.restore(state["step"], state["episodes"]["actions"])
        log.info("%s resumes at step %d", self.run.title, state["step"])

    def close(self) -> None:
        """End the evaluation workers and the progress line."""
        self.log.close()
        self.evaluator.close()
