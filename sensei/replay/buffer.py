"""Replay: every step of every worker in memory-mapped arrays, sampled in windows that never cross an episode."""

import os
from bisect import bisect_left, bisect_right
from itertools import accumulate
from pathlib import Path

import numpy as np

from sensei.core.files import writing
from sensei.envs.step import Spec
from sensei.replay.digests import SEGMENT, Digests


class Replay:
    """Ring of steps, one stream a worker, on disk below `folder` (the page cache keeps what is used in memory).

    A batch row is filled with windows packed end to end: the first starts at a step drawn uniformly from all steps, and where
    an episode ends before the row does, the window of another episode begins, from its first step. `is_first` is true at
    every window's start, so no state crosses a border, and no step is padded or over-sampled, but where `flag_windows` asks for it.

    Args:
        folder: where the arrays live; reopened if they exist.
        spec: shape and dtype of every field of a step; `is_first` is required.
        capacity: steps that can be sampled, over all workers.
        workers: number of streams.
        slack: steps a worker may overwrite between two checkpoints without touching what the earlier one can sample.
        flag_windows: share of the rows whose first window instead holds a step at which a flag turned on, with the step before it, at a
            place drawn uniformly; such steps are drawn uniformly, too. As long as there is none, and without flags, it changes nothing.

    Raises:
        SenseiError: the disk is full. (Without room set aside for it, a write to mapped memory would end the process by signal 7.)
    """

    def __init__(self, folder: Path, spec: Spec, capacity: int, workers: int, slack: int, flag_windows: float = 0.0):
        self.workers = workers
        self.readable = max(capacity // workers, 2)
        self.rows = self.readable + slack
        self.counts = [0] * workers
        self.starts: list[list[int]] = [[] for _ in range(workers)]
        self.flag_windows, self.turns = flag_windows, [[] for _ in range(workers)]  # steps at which a flag turned on
        self.folder, self._digests, self._room = folder, [Digests() for _ in range(workers)], [0] * workers
        self.arrays = {name: _open(folder / f"{name}.npy", (workers, self.rows, *shape), dtype) for name, (shape, dtype) in spec.items()}
        # The same memory as plain arrays of all steps: step `count` of a worker is at `_place(worker, count)`.
        self._steps = {name: np.asarray(array).reshape(workers * self.rows, *array.shape[2:]) for name, array in self.arrays.items()}

    def __len__(self) -> int:
        return sum(min(count, self.readable) for count in self.counts)

    def add(self, step: dict[str, np.ndarray], discard: np.ndarray | None = None) -> None:
        """Append one step of every worker; every array is [workers, ...].

        Args:
            discard: bool [workers]; where true the worker's episode so far is forgotten instead (it must be shorter than `slack`).
        """
        kept = []
        for worker, count in enumerate(self.counts):
            if discard is not None and discard[worker]:
                if self.starts[worker]:
                    self.counts[worker] = self.starts[worker].pop()
                    self._digests[worker].forget(self.counts[worker])
                    del self.turns[worker][bisect_left(self.turns[worker], self.counts[worker]) :]
                continue
            if step["is_first"][worker] or not self.starts[worker]:
                self.starts[worker].append(count)
            self._make_room(worker)
            kept.append(worker)
        places = [self._place(worker, self.counts[worker]) for worker in kept]
        for name, array in self._steps.items():
            array[places] = step[name][kept]
        for worker in kept:
            if self._turned(worker, self.counts[worker]):
                self.turns[worker].append(self.counts[worker])
            self.counts[worker] += 1
            self._forget(worker)

    def _place(self, worker: int, count: int) -> int:
        return worker * self.rows + count % self.rows

    def _turned(self, worker: int, count: int) -> bool:
        """Whether a flag is on at a step that was off at the one before, in the same episode, if anybody wants to know."""
        if not self.flag_windows or count == self.starts[worker][bisect_right(self.starts[worker], count) - 1]:
            return False
        flags = self._steps["flags"]
        return bool((flags[self._place(worker, count)] > flags[self._place(worker, count - 1)]).any())

    def _make_room(self, worker: int) -> None:
        """Set disk space aside for the worker's next step, and for some after it."""
        begin, needed = self._room[worker], min(self.counts[worker] + 1, self.rows)
        if needed <= begin or not hasattr(os, "posix_fallocate"):
            return
        end = min(needed + SEGMENT, self.rows)
        for name, array in self.arrays.items():
            size, path = array[0, 0].nbytes, self.folder / f"{name}.npy"
            if not size:
                continue
            with writing(path), open(path, "rb+") as file:
                os.posix_fallocate(file.fileno(), array.offset + (worker * self.rows + begin) * size, (end - begin) * size)
        self._room[worker] = end

    def _forget(self, worker: int) -> None:
        """Drop the starts of episodes that have left the ring altogether, and flags that turned on with a step that has."""
        oldest, starts, turns = self.counts[worker] - self.readable, self.starts[worker], self.turns[worker]
        while len(starts) > 1 and starts[1] <= oldest:
            del starts[0]
        while turns and turns[0] <= oldest:
            del turns[0]

    def sample(self, batch: int, length: int, rng: np.random.Generator, out: dict[str, np.ndarray] | None = None) -> dict[str, np.ndarray]:
        """A batch [batch, length, ...] of every field, written into `out` if that is given (as `empty_batch` makes it)."""
        places, begins = np.empty((batch, length), np.int64), np.zeros((batch, length), bool)
        for row in range(batch):
            filled = 0
            while filled < length:
                worker, start, end = self._whole_episode(rng) if filled else self._first_window(length, rng)
                size = min(end - start, length - filled)
                places[row, filled : filled + size] = worker * self.rows + np.arange(start, start + size) % self.rows
                begins[row, filled] = True
                filled += size
        out = self.empty_batch(batch, length) if out is None else out
        for name, array in self._steps.items():
            array.take(places, axis=0, out=out[name], mode="clip")  # all are in range; "raise" would copy everything twice
        out["is_first"] |= begins
        return out

    def empty_batch(self, batch: int, length: int) -> dict[str, np.ndarray]:
        """Arrays for `sample` to write into."""
        return {name: np.empty((batch, length, *array.shape[1:]), array.dtype) for name, array in self._steps.items()}

    def _first_window(self, length: int, rng: np.random.Generator) -> tuple[int, int, int]:
        """Worker, first step and end of the window that a row begins with."""
        if self.flag_windows and length > 1 and any(self.turns) and rng.random() < self.flag_windows:
            worker, index = _draw(list(map(len, self.turns)), rng)
            turn, starts = self.turns[worker][index], self.starts[worker]
            episode = bisect_right(starts, turn) - 1
            first = max(starts[episode], self.counts[worker] - self.readable)
            return worker, max(first, turn - int(rng.integers(1, length))), self._end(worker, episode)
        return self._rest_of_episode(rng)

    def _rest_of_episode(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Worker, first step and end of a window that starts at a step drawn uniformly from all steps."""
        worker, place = _draw([min(count, self.readable) for count in self.counts], rng)
        start = max(0, self.counts[worker] - self.readable) + place
        return worker, start, self._end(worker, bisect_right(self.starts[worker], start) - 1)

    def _whole_episode(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """The same of what is left of an episode drawn uniformly from all episodes; any other choice would prefer some steps."""
        worker, episode = _draw(list(map(len, self.starts)), rng)
        return worker, max(self.starts[worker][episode], self.counts[worker] - self.readable), self._end(worker, episode)

    def _end(self, worker: int, episode: int) -> int:
        """One past the last step of an episode so far."""
        starts = self.starts[worker]
        return starts[episode + 1] if episode + 1 < len(starts) else self.counts[worker]

    def checkpoint(self) -> dict:
        """Flush the arrays; returns what `restore` needs to see exactly the steps that are there now, and `digests.fault` to check them."""
        for name, array in self.arrays.items():
            with writing(self.folder / f"{name}.npy"):
                array.flush()
        digests = [
            known.of(self._steps, worker * self.rows, self.rows, max(0, count - self.readable), count)
            for worker, (known, count) in enumerate(zip(self._digests, self.counts, strict=True))
        ]
        steps = {"counts": list(self.counts), "starts": [list(starts) for starts in self.starts], "digests": digests}
        return steps | {"fields": list(self.arrays), "rows": self.rows, "readable": self.readable}

    def restore(self, checkpoint: dict) -> None:
        """Forget every step that came after `checkpoint`."""
        self.counts = list(checkpoint["counts"])
        self.starts = [list(starts) for starts in checkpoint["starts"]]
        for known, digests, count in zip(self._digests, checkpoint["digests"], self.counts, strict=True):
            known.restore(digests, max(0, count - self.readable), count)
        oldest = [max(0, count - self.readable) for count in self.counts]
        self.turns = [
            [step for step in range(first + 1, count) if self._turned(worker, step)]
            for worker, (first, count) in enumerate(zip(oldest, self.counts, strict=True))
        ]


def _draw(sizes: list[int], rng: np.random.Generator) -> tuple[int, int]:
    """A member of groups of these sizes, drawn uniformly from all members: its group and its place in it."""
    ends = list(accumulate(sizes))
    member = int(rng.integers(ends[-1]))
    group = bisect_right(ends, member)
    return group, member - (ends[group] - sizes[group])


def _open(path: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.memmap:
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        return np.lib.format.open_memmap(path, mode="r+" if path.exists() else "w+", dtype=dtype, shape=shape)
