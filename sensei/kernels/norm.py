"""LayerNorm followed by SiLU, in one pass over memory each way."""

import torch
import torch.nn.functional as F

from sensei.kernels.choice import call, card, ours
from sensei.kernels.library import EPSILON, VECTOR, threads

NARROW, MIDDLE = 8, 64  # widths of rows


def norm_silu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """SiLU(LayerNorm(x)) over the last axis.

    Args:
        x: float [..., width], or [heads, rows, width] where each head has its own weight and bias.
        weight, bias: float [width], or [heads, width].

    Returns:
        float as x; on a graphics card in autocast's type.
    """
    if triton := card(x):
        return triton.norm_silu(x, weight, bias)
    width = x.shape[-1]
    if not (width == NARROW or width % VECTOR == 0) or x.numel() == 0 or not ours(operation(width), x, weight, bias):
        return _by_pytorch(x, weight, bias)
    if weight.dim() == 1:
        return _NormSiLU.apply(x.reshape(1, -1, width), weight.view(1, -1), bias.view(1, -1)).view(x.shape)
    return _NormSiLU.apply(x, weight, bias)


def operation(width: int) -> str:
    """What `choice` calls it: how much there is to gain depends on how many rows a register holds."""
    return f"norm_silu {'narrow' if width == NARROW else 'middle' if width <= MIDDLE else 'wide'}"


def _by_pytorch(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    width = x.shape[-1:]
    if weight.dim() == 1:
        return F.silu(F.layer_norm(x, width, weight, bias, EPSILON))
    if len(weight) == 1:
        return F.silu(F.layer_norm(x, width, weight[0], bias[0], EPSILON))
    return F.silu(torch.addcmul(bias.unsqueeze(1), F.layer_norm(x, width, eps=EPSILON), weight.unsqueeze(1)))


class _NormSiLU(torch.autograd.Function):
    """[heads, rows, width], [heads, width], [heads, width] -> [heads, rows, width]; statistics are measured again going back."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        # Rows of 8 are taken two at a time and must touch.
        if x.stride(-1) != 1 or (x.shape[-1] == NARROW and not x.is_contiguous()):
            x = x.contiguous()
        y = torch.empty(x.shape)
        ctx.layout = (*x.shape, x.stride(0), x.stride(1), threads(x.numel()))
        ctx.save_for_backward(x, weight, bias)
        call("norm_silu", x, weight, bias, y, *ctx.layout)
        return y

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias = ctx.saved_tensors
        heads, _, width, *_, shared = ctx.layout
        given = torch.empty_strided(x.shape, x.stride())
        sums = torch.zeros(shared, 2, heads, width)
        call("norm_silu_back", x, weight, bias, gradient.contiguous(), given, sums, *ctx.layout)
        return given, *(sums[0] if shared == 1 else sums.sum(0)).unbind(0)
