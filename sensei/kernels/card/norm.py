"""SiLU of LayerNorm."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import EPSILON, output_dtype, rows_at_once, total, width_of
from sensei.kernels.choice import is_frozen

SUMMING = 2048  # programs that share the rows where each also sums over those it takes


@triton.jit
def normalise(x, inside, width):
    """Rows with mean 0 and variance 1, zeros outside, and what they were multiplied by: [rows, columns], [rows, 1]."""
    centred = tl.where(inside, x - (tl.sum(x, 1) / width)[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centred * centred, 1) / width + EPSILON)[:, None]
    return centred * scale, scale


@triton.jit
def _norm_silu(
    x, weight, bias, y, rows, width, head_stride, row_stride, y_head_stride, y_row_stride, BLOCK: tl.constexpr, WIDTH: tl.constexpr
):
    head, column = tl.program_id(1), tl.arange(0, WIDTH)[None, :]
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None]
    inside = (row < rows) & (column < width)
    normal, _ = normalise(tl.load(x + head * head_stride + row * row_stride + column, inside, 0).to(tl.float32), inside, width)
    scale = tl.load(weight + head * width + column, column < width, 0)
    shift = tl.load(bias + head * width + column, column < width, 0)
    opened = normal * scale + shift
    tl.store(y + head * y_head_stride + row * y_row_stride + column, opened * tl.sigmoid(opened), inside)


@triton.jit
def _norm_silu_back(
    x,
    weight,
    bias,
    of_y,
    of_x,
    sums,
    rows,
    width,
    head_stride,
    row_stride,
    of_y_head_stride,
    of_y_row_stride,
    SUMS: tl.constexpr,
    ADDS: tl.constexpr,
    BLOCK: tl.constexpr,
    WIDTH: tl.constexpr,
):
    program, programs, head, heads = tl.program_id(0), tl.num_programs(0), tl.program_id(1), tl.num_programs(1)
    column = tl.arange(0, WIDTH)[None, :]
    scale = tl.load(weight + head * width + column, column < width, 0)
    shift = tl.load(bias + head * width + column, column < width, 0)
    of_scale, of_shift = tl.zeros([BLOCK, WIDTH], tl.float32), tl.zeros([BLOCK, WIDTH], tl.float32)
    for block in range(program, tl.cdiv(rows, BLOCK), programs):
        row = (block * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None]
        inside = (row < rows) & (column < width)
        normal, factor = normalise(tl.load(x + head * head_stride + row * row_stride + column, inside, 0).to(tl.float32), inside, width)
        opened = normal * scale + shift
        gate = tl.sigmoid(opened)
        gradient = tl.load(of_y + head * of_y_head_stride + row * of_y_row_stride + column, inside, 0).to(tl.float32)
        gradient *= gate * (1 + opened * (1 - gate))
        of_scale += gradient * normal
        of_shift += gradient
        inner = gradient * scale
        mean, along = (tl.sum(inner, 1) / width)[:, None], (tl.sum(inner * normal, 1) / width)[:, None]
        tl.store(of_x + head * head_stride + row * row_stride + column, factor * (inner - mean - normal * along), inside)
    if SUMS:
        place = sums + (program * 2 * heads + head) * width + tl.arange(0, WIDTH)
        within = tl.arange(0, WIDTH) < width
        scale_sum, shift_sum = tl.sum(of_scale, 0), tl.sum(of_shift, 0)
        if ADDS:
            scale_sum += tl.load(place, within, 0)
            shift_sum += tl.load(place + heads * width, within, 0)
        tl.store(place, scale_sum, within)
        tl.store(place + heads * width, shift_sum, within)


def norm_silu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """SiLU(LayerNorm(x)) over the last axis: float [..., width], [width], [width] -> [..., width], in autocast's type.

    With weight and bias [heads, width] x is [heads, rows, width].
    """
    width = x.shape[-1]
    if is_frozen():
        weight, bias = weight.detach(), bias.detach()
    if weight.dim() == 1:
        return _NormSiLU.apply(x.reshape(1, -1, width), weight.view(1, -1), bias.view(1, -1)).view(x.shape)
    return _NormSiLU.apply(x, weight, bias)


class _NormSiLU(torch.autograd.Function):
    """[heads, rows, width], [heads, width], [heads, width] -> [heads, rows, width]; statistics are measured again going back."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        x = x if x.stride(-1) == 1 else x.contiguous()
        ctx.save_for_backward(x, weight, bias)
        y = torch.empty(x.shape, dtype=output_dtype(x), device=x.device)
        launch_norm_silu(x, weight, bias, y)
        return y

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight, bias = ctx.saved_tensors
        gradient = gradient if gradient.stride(-1) == 1 else gradient.contiguous()
        heads, rows, width = x.shape
        given = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
        layout = rows, width, x.stride(0), x.stride(1), gradient.stride(0), gradient.stride(1)
        block, warps = back_shape(width)
        options = {"SUMS": ctx.needs_input_grad[1], "ADDS": False, "BLOCK": block, "WIDTH": width_of(width), "num_warps": warps}
        if not ctx.needs_input_grad[1]:
            _norm_silu_back[triton.cdiv(rows, block), heads](x, weight, bias, gradient, given, given, *layout, **options)
            return given, None, None
        programs = min(triton.cdiv(rows, block), triton.cdiv(SUMMING, heads))
        sums = torch.empty(programs, 2, heads, width, device=x.device)
        _norm_silu_back[programs, heads](x, weight, bias, gradient, given, sums, *layout, **options)
        return given, *total(sums).unbind(0)


def back_shape(width: int) -> tuple[int, int]:
    """Rows at once and warps of a program that goes back through a LayerNorm: few warps a row, so that sums cost little."""
    return (32, 4) if width <= 32 else (max(1, 256 // width_of(width)), max(1, width_of(width) // 512))


def launch_norm_silu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, y: torch.Tensor) -> None:
    """Into `y`: [heads, rows, width], [heads, width], [heads, width] -> [heads, rows, width]."""
    heads, rows, width = x.shape
    block = rows_at_once(rows * heads, width)
    layout = rows, width, x.stride(0), x.stride(1), y.stride(0), y.stride(1)
    _norm_silu[triton.cdiv(rows, block), heads](x, weight, bias, y, *layout, BLOCK=block, WIDTH=width_of(width))


def launch_norm_silu_back(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, of_y: torch.Tensor, of_x: torch.Tensor, sums: torch.Tensor | None = None
) -> None:
    """Gradient of [rows, width] into `of_x`; those of weight and bias are added to `sums` [rows, 2, width] if that is given."""
    rows, width = x.shape
    block, warps = back_shape(width) if sums is None else (1, 4)
    layout = rows, width, 0, x.stride(0), 0, of_y.stride(0)
    options = {"SUMS": sums is not None, "ADDS": True, "BLOCK": block, "WIDTH": width_of(width), "num_warps": warps}
    _norm_silu_back[triton.cdiv(rows, block), 1](x, weight, bias, of_y, of_x, of_x if sums is None else sums, *layout, **options)
