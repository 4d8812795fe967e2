"""Named random streams: one seed, many independent generators, no global state."""

from __future__ import annotations

import contextlib
import random
import zlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:  # environment workers draw seeds too, and start without torch
    import torch


def seed_sequence(seed: int, *names: object) -> np.random.SeedSequence:
    """The seed sequence of the stream called `names` below `seed`; equal arguments give equal streams, on every machine."""
    return np.random.SeedSequence([seed, *(zlib.crc32(str(name).encode()) for name in names)])


def generator(seed: int, *names: object) -> np.random.Generator:
    """A numpy generator for the stream called `names`."""
    return np.random.default_rng(seed_sequence(seed, *names))


def integer_seed(seed: int, *names: object) -> int:
    """A 63-bit seed for libraries that want an integer."""
    return int(seed_sequence(seed, *names).generate_state(1, np.uint64)[0] >> np.uint64(1))


def torch_generator(seed: int, *names: object, device: str | torch.device = "cpu") -> torch.Generator:
    """A torch generator for the stream called `names`."""
    import torch

    return torch.Generator(device=device).manual_seed(integer_seed(seed, *names))


@contextlib.contextmanager
def global_streams_kept() -> Iterator[None]:
    """Let what the block draws from the global streams of Python, numpy and torch, or how it seeds them, change nothing after it."""
    import torch

    python, numpy, torchs = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)  # noqa: NPY002
        torch.set_rng_state(torchs)
