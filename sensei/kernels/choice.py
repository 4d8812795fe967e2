"""Which code computes an operation: ours, or PyTorch's own operations, which are the reference."""

import contextlib
import threading
from collections.abc import Iterator

import torch

from sensei.kernels.library import compiled

_only = threading.local()  # has `pytorch` where the thread is to use PyTorch's own operations only


def ours(*tensors: torch.Tensor) -> bool:
    """Whether ways of our own through PyTorch apply to these tensors: float32 on a CPU, neither compiled by torch nor under autocast."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or getattr(_only, "pytorch", False):
        return False
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def in_c(*tensors: torch.Tensor) -> bool:
    """Whether our kernels in C apply: as `ours`, and they could be compiled."""
    return ours(*tensors) and compiled() is not None


@contextlib.contextmanager
def pytorch_only() -> Iterator[None]:
    """Use PyTorch's own operations only, in this thread: `compile: off`, the reference of tests, what its counter of arithmetic knows."""
    before = getattr(_only, "pytorch", False)
    _only.pytorch = True
    try:
        yield
    finally:
        _only.pytorch = before
