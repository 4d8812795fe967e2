"""Matrix products. On a CPU those that are large go to oneDNN, which uses the whole vector width of any processor.

PyTorch's own products come from MKL, which on processors of other makers than its own keeps to narrower vectors: on an AMD EPYC
with AVX-512 oneDNN is 2.3 times faster on every shape of an update. Results differ by rounding alone.
"""

import contextlib
import threading
from collections.abc import Iterator

import torch

SMALL = 2**20  # multiplications below which calling through Python costs more than the better product saves
_only = threading.local()  # has `library` where the thread is to use PyTorch's own kernels only, and `frozen`
LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x @ weight + bias: float [..., inputs], [inputs, outputs], [outputs] -> [..., outputs]."""
    if x.is_cuda:  # a parameter given as it is: autocast converts it once an update, a view of it every time
        rows = x.reshape(-1, x.shape[-1])
        return (torch.mm(rows, weight) if bias is None else torch.addmm(bias, rows, weight)).view(*x.shape[:-1], -1)
    if not _pays(x, weight, x.numel() * weight.shape[-1]):
        return torch.nn.functional.linear(x, weight.t(), bias)
    bias = None if bias is None else bias.unsqueeze(0)
    return _Products.apply(x.reshape(1, -1, x.shape[-1]), weight.unsqueeze(0), bias)[0].view(*x.shape[:-1], -1)


def products(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The same once a head: float [heads, rows, inputs], [heads, inputs, outputs], [heads, outputs] -> [heads, rows, outputs]."""
    if not _pays(x, weight, x[0].numel() * weight.shape[-1]):
        return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)
    return _Products.apply(x, weight, bias)


def dot(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Sum of products over the last axis, float32 under autocast too, which would round it: float [..., n], [..., n] -> [...]."""
    with torch.autocast(x.device.type, enabled=False):
        return torch.linalg.vecdot(x.float(), y.float())


def by_hand(*tensors: torch.Tensor) -> bool:
    """Whether the kernels chosen here by hand apply: float32 on a CPU, neither compiled nor under autocast."""
    if torch.compiler.is_compiling() or torch.is_autocast_enabled("cpu") or getattr(_only, "library", False):
        return False
    return all(tensor.device.type == "cpu" and tensor.dtype == torch.float32 for tensor in tensors)


def by_card(*tensors: torch.Tensor) -> bool:
    """Whether kernels written for a graphics card may be used: floating point on CUDA, not compiled."""
    if torch.compiler.is_compiling() or getattr(_only, "library", False):
        return False
    return all(tensor.is_cuda and tensor.dtype in (torch.float32, torch.bfloat16) for tensor in tensors)


@contextlib.contextmanager
def frozen() -> Iterator[None]:
    """What is computed in this thread leads gradients to its inputs, but nobody wants those of parameters: kernels need not make them."""
    before = is_frozen()
    _only.frozen = True
    try:
        yield
    finally:
        _only.frozen = before


def is_frozen() -> bool:
    """Whether the block of `frozen` is under way in this thread."""
    return getattr(_only, "frozen", False)


@contextlib.contextmanager
def library_kernels() -> Iterator[None]:
    """Use PyTorch's own kernels only, in this thread: `compile: off`, the reference of the tests, what its counter of arithmetic knows."""
    before = getattr(_only, "library", False)
    _only.library = True
    try:
        yield
    finally:
        _only.library = before


def _pays(x: torch.Tensor, weight: torch.Tensor, multiplications: int) -> bool:
    return LINEAR is not None and multiplications >= SMALL and by_hand(x, weight)


class _Products(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _each(x, weight.mT, bias)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad
        gradient = gradient.contiguous()
        return (
            _each(gradient, weight) if needs_x else None,
            _each(x.mT, gradient.mT) if needs_weight else None,
            gradient.sum(1) if needs_bias else None,
        )


def _each(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x @ weight.mT + bias per head: [heads, rows, inputs], [heads, outputs, inputs] -> [heads, rows, outputs]."""
    made = [LINEAR(part, weight[head], None if bias is None else bias[head], "none", [], "") for head, part in enumerate(x)]
    return made[0].unsqueeze(0) if len(made) == 1 else torch.stack(made)
