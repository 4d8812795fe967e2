"""Checksums of the steps in a replay, segment by segment: every step is read about once, however many checkpoints there are."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

SEGMENT = 256  # steps of a worker with one checksum; those of the segment under way are read again at every checkpoint
Steps = Mapping[str, np.ndarray]  # of all workers, one worker's ring after the other's: field -> [workers x rows, ...]


class Digests:
    """Checksums of what one worker's steps were when they were last asked for."""

    def __init__(self) -> None:
        self.whole: dict[int, str] = {}  # first step of a whole segment -> checksum

    def of(self, steps: Steps, offset: int, rows: int, first: int, end: int) -> list[str]:
        """Checksums of the segments from step `first` to before `end`; only what is not known yet is read.

        Args:
            offset, rows: place of the worker's ring and its length.
        """
        known, found = self.whole, []
        self.whole = {}
        for start, stop in segments(first, end):
            digest = known.get(start) or _digest(steps, offset + np.arange(start, stop) % rows)
            if stop - start == SEGMENT:
                self.whole[start] = digest
            found.append(digest)
        return found

    def forget(self, count: int) -> None:
        """The steps from `count` on will be others."""
        self.whole = {start: digest for start, digest in self.whole.items() if start + SEGMENT <= count}

    def restore(self, digests: list[str], first: int, end: int) -> None:
        """Take up what `of` returned."""
        pairs = zip(segments(first, end), digests, strict=True)
        self.whole = {start: digest for (start, stop), digest in pairs if stop - start == SEGMENT}


def segments(first: int, end: int) -> Iterator[tuple[int, int]]:
    """The range from `first` to before `end`, cut at the multiples of `SEGMENT`."""
    while first < end:
        stop = min(end, first - first % SEGMENT + SEGMENT)
        yield first, stop
        first = stop


def fault(folder: Path, checkpoint: dict[str, Any]) -> str | None:
    """What of the arrays in `folder` is not as it was when `Replay.checkpoint` returned this, in words; None if all is."""
    steps, rows = {}, checkpoint["rows"]
    for field in checkpoint["fields"]:
        path = folder / f"{field}.npy"
        try:
            steps[field] = steps_in(path)
        except (OSError, ValueError, EOFError, IndexError) as error:
            return f"{path} is not there or damaged ({error})"
        if len(steps[field]) != rows * len(checkpoint["counts"]):
            return f"{path} has another length"
    now = of_all(steps, checkpoint)
    for worker, (count, digests) in enumerate(zip(checkpoint["counts"], checkpoint["digests"], strict=True)):
        first = max(0, count - checkpoint["readable"])
        for (start, stop), digest, saved in zip(segments(first, count), now[worker], digests, strict=True):
            if digest != saved:
                return f"{folder}: steps {start} to {stop - 1} of worker {worker} have another checksum"
    return None


def steps_in(path: Path, mode: Literal["r", "r+"] = "r") -> np.memmap:
    """A field of the steps of all workers, from its file: [workers x rows, ...]."""
    array = np.load(path, mmap_mode=mode)
    return array.reshape(array.shape[0] * array.shape[1], *array.shape[2:])


def of_all(steps: Steps, checkpoint: dict[str, Any]) -> list[list[str]]:
    """Checksums of all that can be sampled of each worker, as they are now."""
    rows, readable = checkpoint["rows"], checkpoint["readable"]
    firsts = [(max(0, count - readable), count) for count in checkpoint["counts"]]
    return [Digests().of(steps, worker * rows, rows, first, count) for worker, (first, count) in enumerate(firsts)]


def _digest(steps: Steps, places: np.ndarray) -> str:
    """Checksum over all fields of the steps at `places`."""
    digest = hashlib.blake2b(digest_size=16)
    for field in sorted(steps):
        digest.update(steps[field][places])
    return digest.hexdigest()
