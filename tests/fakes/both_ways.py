"""The same computed with and without our kernels."""

import numpy as np
import torch

from fakes.agents import ACTIONS
from fakes.tiny import random_batch
from sensei.kernels.products import library_kernels


def both_ways(function, *leaves: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Result and gradients of a function by our kernels and by the library's."""
    results = []
    for by_library in (False, True):
        for leaf in leaves:
            leaf.grad = None
        if by_library:
            with library_kernels():
                value = function()
                value.backward(torch.sin(torch.arange(value.numel(), dtype=torch.float32)).view(value.shape))
        else:
            value = function()
            value.backward(torch.sin(torch.arange(value.numel(), dtype=torch.float32)).view(value.shape))
        results.append([value.detach(), *(leaf.grad.clone() for leaf in leaves)])
    return results[0], results[1]


def assert_close(given: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for left, right in zip(given, expected, strict=True):
        assert left.shape == right.shape
        np.testing.assert_allclose(left.numpy(), right.numpy(), rtol=1e-4, atol=1e-4 * float(right.abs().max()))


def arrays(discrete: bool) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    batch = random_batch(4, 6, 16, 1, ACTIONS)._asdict()
    batch["action"] = rng.integers(ACTIONS, size=(4, 6)) if discrete else rng.uniform(-1, 1, (4, 6, ACTIONS)).astype(np.float32)
    return {name: np.asarray(value) for name, value in batch.items()}
