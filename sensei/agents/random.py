"""Uniformly random actions, behind the interface of the learning agents."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete, Space

from sensei.core.rng import generator


class RandomActions:
    """Draws every action uniformly from the action space, from a stream of its own."""

    def __init__(self, space: Space, seed: int, stream: str = "random actions"):
        assert isinstance(space, (Discrete, Box)), space
        self.space, self.rng = space, generator(seed, stream)

    def sample(self, workers: int) -> np.ndarray:
        """int64 [workers], or float32 [workers, actions] in the bounds of the box."""
        if isinstance(self.space, Discrete):
            return self.rng.integers(self.space.n, size=workers)
        return self.rng.uniform(self.space.low, self.space.high, (workers, *self.space.shape)).astype(np.float32)

    def checkpoint(self) -> dict[str, Any]:
        """State of the stream."""
        return self.rng.bit_generator.state

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue the stream."""
        self.rng.bit_generator.state = checkpoint


class RandomAgent:
    """An agent that acts at random and learns nothing."""

    learns = False

    def __init__(self, space: Space, seed: int):
        self.actions = RandomActions(space, seed, "random agent")

    def policy(self, rows: dict[str, np.ndarray], state: None, **_: object) -> tuple[np.ndarray, None]:
        """A random action for every worker of `rows`."""
        return self.actions.sample(len(rows["is_first"])), None

    def initial_policy_state(self, workers: int) -> None:
        """There is none."""

    def checkpoint(self) -> dict[str, Any]:
        """State of the stream."""
        return {"actions": self.actions.checkpoint()}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue the stream."""
        self.actions.restore(checkpoint["actions"])
