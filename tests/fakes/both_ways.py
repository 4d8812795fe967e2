"""The same computed with and without our kernels."""

import numpy as np
import pytest
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


def assert_same_agent(given, expected, updates: list[tuple[dict, dict]]) -> None:
    """Losses of every update within 0.1 %, parameters within a hundredth of what an update may move them.

    Of the imagined draws one may lie between two classes, and of the imagined states one on the threshold of the switch, so that rounding
    decides: in three of ten updates behaviours may differ, and an actor then moves another way.
    """
    apart = set()
    for number, (ours, theirs) in enumerate(updates):
        for name in theirs:
            same = ours[name].item() == pytest.approx(theirs[name].item(), rel=1e-3, abs=1e-3)
            if name.startswith(("task/", "explore/")):
                apart |= set() if same else {number}
            else:
                assert same, (name, ours[name].item(), theirs[name].item())
    assert len(apart) <= 3
    for (name, left), right in zip(given.named_parameters(), expected.parameters(), strict=True):
        np.testing.assert_allclose(left.detach(), right.detach(), atol=5e-4 if "actor" in name else 1e-4, err_msg=name)


def assert_same_first_updates(given, expected, updates: list[tuple[dict, dict]], states: int) -> None:
    """The same of an agent whose every gradient has been made random and of its first updates, of which no imagined state may differ.

    Args:
        states: imagined by each behaviour, one of which may lie on the threshold of the switch.
    """
    for ours, theirs in updates:
        for name, value in theirs.items():
            margin = 1.5 / states if name.endswith("explore_share") else 1e-3
            assert ours[name].item() == pytest.approx(value.item(), rel=1e-3, abs=margin), name
    for (name, left), right in zip(given.named_parameters(), expected.parameters(), strict=True):
        # Adam moves a parameter by its rate in the direction of its gradient, whose sign is rounding where it is nothing.
        assert ((left - right).abs() > 1e-4).float().mean() < 1e-3, name
