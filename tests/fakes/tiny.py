"""A world model small enough to be checked by hand."""

import numpy as np
import torch

from sensei.world_model.model import Batch
from sensei.world_model.sizes import Size

SIZE = Size(deter=10, stoch=3, classes=4, depth=2, units=8, layers=2, vector_units=6, vector_layers=1)
FLAT = SIZE.stoch * SIZE.classes


def shake(module: torch.nn.Module, seed: int = 0) -> torch.nn.Module:
    """Give every parameter random values, so that no zero or one of the initialisation hides a mistake."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.add_(0.5 * torch.randn(parameter.shape, generator=generator).to(parameter.device))
    return module


def random_batch(batch: int, time: int, image_size: int, flags: int, actions: int, seed: int = 0, tasks: int = 0) -> Batch:
    """A replay batch of noise with some episode borders."""
    rng = np.random.default_rng(seed)
    shape = (batch, time)
    return Batch(
        image=torch.from_numpy(rng.integers(0, 256, (*shape, image_size, image_size, 3), dtype=np.uint8)),
        flags=torch.from_numpy(rng.integers(0, 2, (*shape, flags)).astype(np.float32)),
        action=torch.nn.functional.one_hot(torch.from_numpy(rng.integers(0, actions, shape)), actions).float(),
        reward=torch.from_numpy(rng.normal(size=shape).astype(np.float32)),
        semantic=torch.from_numpy(5 * rng.normal(size=shape).astype(np.float32)),
        is_first=torch.from_numpy(rng.random(shape) < 0.2),
        is_terminal=torch.from_numpy(rng.random(shape) < 0.2),
        task_rewards=torch.from_numpy(rng.normal(size=(*shape, tasks)).astype(np.float32)),
    )
