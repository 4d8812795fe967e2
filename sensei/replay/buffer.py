"""Replay: every step of every worker in memory-mapped arrays, sampled uniformly, in windows that never cross an episode."""

from bisect import bisect_right
from pathlib import Path

import numpy as np

Spec = dict[str, tuple[tuple[int, ...], np.dtype]]


class Replay:
    """Ring of steps, one stream a worker, on disk below `folder` (the page cache keeps what is used in memory).

    A batch row is filled with windows packed end to end: the first starts at a step drawn uniformly from all steps, and where
    an episode ends before the row does, the window of another episode begins, from its first step. `is_first` is true at
    every window's start, so no state crosses a border, and no step is padded or over-sampled.

    Args:
        folder: where the arrays live; reopened if they exist.
        spec: shape and dtype of every field of a step; `is_first` is required.
        capacity: steps that can be sampled, over all workers.
        workers: number of streams.
        slack: steps a worker may overwrite between two checkpoints without touching what the earlier one can sample.
    """

    def __init__(self, folder: Path, spec: Spec, capacity: int, workers: int, slack: int):
        self.workers = workers
        self.readable = max(capacity // workers, 2)
        self.rows = self.readable + slack
        self.counts = [0] * workers
        self.starts: list[list[int]] = [[] for _ in range(workers)]
        self.arrays = {name: _open(folder / f"{name}.npy", (workers, self.rows, *shape), dtype) for name, (shape, dtype) in spec.items()}

    def __len__(self) -> int:
        return sum(min(count, self.readable) for count in self.counts)

    def add(self, step: dict[str, np.ndarray]) -> None:
        """Append one step of every worker; every array is [workers, ...]."""
        for worker, count in enumerate(self.counts):
            if step["is_first"][worker] or not self.starts[worker]:
                self.starts[worker].append(count)
            for name, array in self.arrays.items():
                array[worker, count % self.rows] = step[name][worker]
            self.counts[worker] = count + 1
            self._forget(worker)

    def _forget(self, worker: int) -> None:
        """Drop the starts of episodes that have left the ring altogether."""
        oldest, starts = self.counts[worker] - self.readable, self.starts[worker]
        while len(starts) > 1 and starts[1] <= oldest:
            del starts[0]

    def sample(self, batch: int, length: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """A batch [batch, length, ...] of every field."""
        out = {name: np.empty((batch, length, *array.shape[2:]), array.dtype) for name, array in self.arrays.items()}
        for row in range(batch):
            filled = 0
            while filled < length:
                worker, start, end = self._window(rng, whole=filled > 0)
                size = min(end - start, length - filled)
                index = np.arange(start, start + size) % self.rows
                for name, array in self.arrays.items():
                    out[name][row, filled : filled + size] = array[worker, index]
                out["is_first"][row, filled] = True
                filled += size
        return out

    def _window(self, rng: np.random.Generator, whole: bool) -> tuple[int, int, int]:
        """Worker, first step and end of the rest of an episode; `whole` starts at the episode's first step that is left."""
        position = int(rng.integers(len(self)))
        worker = 0
        while position >= min(self.counts[worker], self.readable):
            position -= min(self.counts[worker], self.readable)
            worker += 1
        count, starts = self.counts[worker], self.starts[worker]
        oldest = max(0, count - self.readable)
        episode = int(rng.integers(len(starts))) if whole else bisect_right(starts, oldest + position) - 1
        start = max(starts[episode], oldest) if whole else oldest + position
        return worker, start, starts[episode + 1] if episode + 1 < len(starts) else count

    def checkpoint(self) -> dict:
        """Flush the arrays; returns what `restore` needs to see exactly the steps that are there now."""
        for array in self.arrays.values():
            array.flush()
        return {"counts": list(self.counts), "starts": [list(starts) for starts in self.starts]}

    def restore(self, checkpoint: dict) -> None:
        """Forget every step that came after `checkpoint`."""
        self.counts = list(checkpoint["counts"])
        self.starts = [list(starts) for starts in checkpoint["starts"]]


def _open(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    path.parent.mkdir(parents=True, exist_ok=True)
    return np.lib.format.open_memmap(path, mode="r+" if path.exists() else "w+", dtype=dtype, shape=shape)
