"""The same computed with and without our kernels."""

import numpy as np
import torch

from fakes.agents import ACTIONS
from fakes.tiny import random_batch
from sensei.kernels.choice import pytorch_only


def leaf(*shape: int, scale: float = 1.0, seed: int = 0) -> torch.Tensor:
    """Noise that wants a gradient."""
    return (scale * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))).requires_grad_()


def refuse(*_) -> None:
    """Stands for what must not be called."""
    raise AssertionError("a kernel was called")


def both_ways(function, *leaves: torch.Tensor) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    """Result and gradients of a function by our kernels and by PyTorch's own operations."""
    results = []
    for by_pytorch in (False, True):
        for leaf in leaves:
            leaf.grad = None
        if by_pytorch:
            with pytorch_only():
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
