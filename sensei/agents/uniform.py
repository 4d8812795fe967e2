"""Uniformly random actions."""

from typing import Any

import numpy as np

from sensei.core.rng import generator
from sensei.replay.step import Spaces


class UniformActions:
    """Draws every action uniformly from the action space, from a stream of its own."""

    def __init__(self, spaces: Spaces, seed: int, stream: str):
        self.spaces, self.rng = spaces, generator(seed, stream)

    def sample(self, workers: int) -> np.ndarray:
        """int64 [workers], or float32 [workers, actions] from -1 to 1."""
        if self.spaces.discrete:
            return self.rng.integers(self.spaces.actions, size=workers)
        return self.rng.uniform(-1.0, 1.0, (workers, self.spaces.actions)).astype(np.float32)

    def checkpoint(self) -> dict[str, Any]:
        """State of the stream."""
        return self.rng.bit_generator.state

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue the stream."""
        self.rng.bit_generator.state = checkpoint
