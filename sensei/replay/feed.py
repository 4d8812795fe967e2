"""Batches on their way from the replay to the update."""

from itertools import cycle

import numpy as np
import torch

from sensei.replay.buffer import Replay


class Feed:
    """Samples batches into memory that is used again and again, which spares the page faults of fresh arrays.

    For a GPU the memory is page-locked, so that the copy to the GPU does not wait and the next batch is sampled while it still
    computes; two buffers take turns, and none is written to before the update that reads it has ended. The batches
    are the same as those of `Replay.sample`.

    Args:
        rng: the stream that batches are drawn from.
        batch, length: shape of a batch.
        device: `cpu` or `cuda`.
    """

    def __init__(self, replay: Replay, rng: np.random.Generator, batch: int, length: int, device: str):
        self.replay, self.rng, self.shape = replay, rng, (batch, length)
        buffers = [Buffer(replay.empty_batch(batch, length), device) for _ in range(2 if device == "cuda" else 1)]
        self.buffers = cycle(buffers)
        self.last = buffers[-1]

    def sample(self) -> dict[str, np.ndarray]:
        """The next batch [batch, length, ...] of every field; valid until the next but one (CUDA) or the next (CPU) is sampled."""
        self.last.mark()
        self.last = next(self.buffers)
        self.last.wait()
        return self.replay.sample(*self.shape, self.rng, out=self.last.arrays)


class Buffer:
    """Arrays of one batch, and on CUDA the moment up to which the GPU may still read them."""

    def __init__(self, arrays: dict[str, np.ndarray], device: str):
        self.arrays, self.read = arrays, None
        if device == "cuda":
            self.arrays = {name: torch.from_numpy(array).pin_memory().numpy() for name, array in arrays.items()}
            self.read = torch.cuda.Event()

    def mark(self) -> None:
        """Everything that reads the arrays has been launched."""
        if self.read is not None:
            self.read.record()

    def wait(self) -> None:
        """Block until what has been launched before `mark` is done."""
        if self.read is not None:
            self.read.synchronize()
