"""Matrix products. On a CPU those that are large go to oneDNN, which uses the whole vector width of any processor.

PyTorch's own products come from MKL, which on processors of other makers than its own keeps to narrower vectors: on an AMD EPYC
with AVX-512 oneDNN is 2.3 times faster on every shape of an update. Results differ by rounding alone.
"""

import torch
import torch.nn.functional as F

from sensei.kernels.choice import call, ours
from sensei.kernels.library import VECTOR, threads

SMALL = 2**20  # multiplications below which calling through Python costs more than the better product saves
LARGE = 2**24  # multiplications from which such calling is nothing beside the product
SCATTER = 2**13  # elements of a variable's rows above which their gradient is scattered
LINEAR = getattr(torch.ops.mkldnn, "_linear_pointwise", None) if torch.backends.mkldnn.is_available() else None


def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """x @ weight + bias: float [..., inputs], [inputs, outputs], [outputs] -> [..., outputs]."""
    multiplications = x.numel() * weight.shape[-1]
    if not _pays(f"product {'large' if multiplications >= LARGE else 'small'}", x, weight, multiplications):
        return F.linear(x, weight.t(), bias)
    bias = None if bias is None else bias.unsqueeze(0)
    return _Products.apply(x.reshape(1, -1, x.shape[-1]), weight.unsqueeze(0), bias)[0].view(*x.shape[:-1], -1)


def products(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The same once a head: float [heads, rows, inputs], [heads, inputs, outputs], [heads, outputs] -> [heads, rows, outputs]."""
    odd = " odd" if weight.shape[-1] % VECTOR else ""  # MKL is much slower where rows end within a vector, as the 255 bins do
    if not _pays(f"products{odd}", x, weight, x[0].numel() * weight.shape[-1]):
        return torch.bmm(x, weight) if bias is None else torch.baddbmm(bias.unsqueeze(1), x, weight)
    return _Products.apply(x, weight, bias)


def _pays(operation: str, x: torch.Tensor, weight: torch.Tensor, multiplications: int) -> bool:
    return LINEAR is not None and multiplications >= SMALL and ours(operation, x, weight)


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


def gather_rows(index: torch.Tensor, weight: torch.Tensor, base: torch.Tensor | None = None) -> torch.Tensor:
    """Product of concatenated one-hot vectors with a matrix, by adding up the rows they select.

    Args:
        index: int64 [rows, variables], the class of each variable.
        weight: float [variables * classes, outputs].
        base: float [rows, outputs], what they are added to.

    Returns:
        float [rows, outputs].
    """
    if torch.is_grad_enabled() and (weight.requires_grad or (base is not None and base.requires_grad)):
        if weight.numel() // index.shape[-1] <= SCATTER and ours("gather_rows", weight):
            return _GatherRows.apply(index, weight, base)
        return _by_pytorch(index, weight, base)
    return _gathered(index, weight, base)


def _gathered(index: torch.Tensor, weight: torch.Tensor, base: torch.Tensor | None) -> torch.Tensor:
    (rows, variables), (inputs, outputs) = index.shape, weight.shape
    if outputs % VECTOR or not ours("gather", weight, *(() if base is None else (base,))):
        return _by_pytorch(index, weight, base)
    made, layout = torch.empty(rows, outputs), (rows, variables, inputs // variables, outputs, threads(rows * variables * outputs))
    call("gather", None if base is None else base.contiguous(), weight.contiguous(), index.contiguous(), made, *layout)
    return made


def _by_pytorch(index: torch.Tensor, weight: torch.Tensor, base: torch.Tensor | None) -> torch.Tensor:
    gathered = F.embedding_bag(_places(index, len(weight)), weight, mode="sum")
    return gathered if base is None else base + gathered


def _places(index: torch.Tensor, inputs: int) -> torch.Tensor:
    """Rows of the matrix that classes stand for: int64 [rows, variables] -> the same."""
    variables = index.shape[-1]
    return index + torch.arange(variables, device=index.device) * (inputs // variables)


class _GatherRows(torch.autograd.Function):
    """Gathers forward; backward a dense product with the one-hot vectors, which for small matrices is faster than scattering."""

    @staticmethod
    def forward(ctx, index: torch.Tensor, weight: torch.Tensor, base: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.rows = weight.shape[0]
        return _gathered(index, weight, base)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (index,) = ctx.saved_tensors
        _, needs_weight, needs_base = ctx.needs_input_grad
        vectors = gradient.new_zeros(len(index), ctx.rows).scatter_(1, _places(index, ctx.rows), 1) if needs_weight else None
        return None, product(vectors.t(), gradient) if needs_weight else None, gradient if needs_base else None
