"""What an agent learns from that is given batches of a replay: the steps kept, the batches drawn, and how many are due."""

from typing import Any

import numpy as np

from sensei.agents.uniform import UniformActions
from sensei.core.rng import generator
from sensei.envs.step import Has
from sensei.envs.vector.environment import VectorEnvironment
from sensei.replay.buffer import Replay
from sensei.replay.feed import Feed
from sensei.replay.step import spaces_of
from sensei.training.run import Run


class Experience:
    """The replay of a run; at first random actions fill it and nothing is learned."""

    def __init__(self, run: Run, environments: VectorEnvironment):
        self.training = training = run.settings.training
        capacity = min(training.replay_capacity, 2 * run.all_steps)
        spec, slack = environments.spec(Has.REPLAY), 2 * training.checkpoint_every
        self.replay = Replay(run.files.replay, spec, capacity, environments.workers, slack, training.flag_windows)
        self.rng = generator(run.seed, "replay")
        self.feed = Feed(self.replay, self.rng, training.batch_size, training.batch_length, run.device)
        self.random = UniformActions(spaces_of(environments), run.seed, "prefill")

    def begins(self, step: int) -> bool:
        """Whether actions are still drawn at random after `step` agent steps."""
        return step < self.training.prefill

    def store(self, rows: dict[str, np.ndarray], action: np.ndarray, semantic: np.ndarray) -> None:
        """Add a step of every worker, with the action taken after it; an episode that broke the simulator is forgotten."""
        step = {**rows, "action": action, "semantic": np.nan_to_num(semantic)}
        self.replay.add(step, discard=rows["is_unstable"])

    def updates_due(self, step: int) -> int:
        """How many updates should have been made after `step` agent steps."""
        return int(self.training.updates(step - self.training.prefill))

    def sample(self) -> dict[str, np.ndarray]:
        """The next batch."""
        return self.feed.sample()

    def checkpoint(self) -> dict[str, Any]:
        """State of the replay and of both random streams."""
        streams = {"random": self.random.checkpoint(), "rng": self.rng.bit_generator.state}
        return {"replay": self.replay.checkpoint(), **streams}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Forget what came after the checkpoint."""
        self.replay.restore(checkpoint["replay"])
        self.random.restore(checkpoint["random"])
        self.rng.bit_generator.state = checkpoint["rng"]
