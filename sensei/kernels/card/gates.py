"""Gates of the recurrence."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import EPSILON, PROGRAMS, total, width_of


@triton.jit
def _gate(gates, weight, bias, part, mean, factor, deter, column):
    """One of the three gates of a row: normalised, weight, and weighted."""
    inside = column < deter
    normal = tl.where(inside, (tl.load(gates + part * deter + column, inside, 0).to(tl.float32) - mean) * factor, 0.0)
    scale = tl.load(weight + part * deter + column, inside, 0)
    return normal, scale, normal * scale + tl.load(bias + part * deter + column, inside, 0)


@triton.jit
def _statistics(gates, deter, column):
    """Mean of a row of gates and what normalises it."""
    inside = column < deter
    reset = tl.load(gates + column, inside, 0).to(tl.float32)
    candidate = tl.load(gates + deter + column, inside, 0).to(tl.float32)
    update = tl.load(gates + 2 * deter + column, inside, 0).to(tl.float32)
    mean = (tl.sum(reset, 0) + tl.sum(candidate, 0) + tl.sum(update, 0)) / (3 * deter)
    square = (reset - mean) * (reset - mean) + (candidate - mean) * (candidate - mean) + (update - mean) * (update - mean)
    return mean, tl.rsqrt(tl.sum(tl.where(inside, square, 0.0), 0) / (3 * deter) + EPSILON)


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _recur(gates, weight, bias, before, following, copy, deter, copy_stride, COPIES: tl.constexpr, DETER: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64), tl.arange(0, DETER)
    gates += row * 3 * deter
    mean, factor = _statistics(gates, deter, column)
    _, _, reset = _gate(gates, weight, bias, 0, mean, factor, deter, column)
    _, _, candidate = _gate(gates, weight, bias, 1, mean, factor, deter, column)
    _, _, update = _gate(gates, weight, bias, 2, mean, factor, deter, column)
    memory = tl.load(before + row * deter + column, column < deter, 0)
    memory += tl.sigmoid(update - 1) * (_tanh(tl.sigmoid(reset) * candidate) - memory)
    tl.store(following + row * deter + column, memory, column < deter)
    if COPIES:
        tl.store(copy + row * copy_stride + column, memory, column < deter)


@triton.jit
def _gate_back(of_weighted, normal, scale):
    """Gradient before weight and bias, and its share of the two sums over a row."""
    inner = of_weighted * scale
    return inner, tl.sum(inner, 0), tl.sum(inner * normal, 0)


@triton.jit
def _recur_back(
    gates,
    weight,
    bias,
    before,
    of_following,
    later,
    carried,
    of_gates,
    of_before,
    sums,
    rows,
    deter,
    stride,
    SUMS: tl.constexpr,
    ADDS: tl.constexpr,
    DETER: tl.constexpr,
):
    program, column = tl.program_id(0), tl.arange(0, DETER)
    inside = column < deter
    nothing = tl.zeros([DETER], tl.float32)
    w0, w1, w2, b0, b1, b2 = nothing, nothing, nothing, nothing, nothing, nothing
    for index in range(program, rows, tl.num_programs(0)):
        row = tl.cast(index, tl.int64)
        mean, factor = _statistics(gates + row * 3 * deter, deter, column)
        normal0, scale0, reset = _gate(gates + row * 3 * deter, weight, bias, 0, mean, factor, deter, column)
        normal1, scale1, proposed = _gate(gates + row * 3 * deter, weight, bias, 1, mean, factor, deter, column)
        normal2, scale2, update = _gate(gates + row * 3 * deter, weight, bias, 2, mean, factor, deter, column)
        reset, update = tl.sigmoid(reset), tl.sigmoid(update - 1)
        candidate = _tanh(reset * proposed)
        memory = tl.load(before + row * deter + column, inside, 0)
        gradient = tl.load(of_following + row * stride + column, inside, 0).to(tl.float32)
        if ADDS:
            gradient += tl.load(later + row * deter + column, inside, 0).to(tl.float32)
            gradient += tl.load(carried + row * deter + column, inside, 0)
        of_argument = gradient * update * (1 - candidate * candidate)
        of0, of1 = of_argument * proposed * reset * (1 - reset), of_argument * reset
        of2 = gradient * (candidate - memory) * update * (1 - update)
        w0, b0, w1, b1, w2, b2 = w0 + of0 * normal0, b0 + of0, w1 + of1 * normal1, b1 + of1, w2 + of2 * normal2, b2 + of2
        inner0, mean0, along0 = _gate_back(of0, normal0, scale0)
        inner1, mean1, along1 = _gate_back(of1, normal1, scale1)
        inner2, mean2, along2 = _gate_back(of2, normal2, scale2)
        mean, along = (mean0 + mean1 + mean2) / (3 * deter), (along0 + along1 + along2) / (3 * deter)
        place = of_gates + row * 3 * deter + column
        tl.store(place, factor * (inner0 - mean - normal0 * along), inside)
        tl.store(place + deter, factor * (inner1 - mean - normal1 * along), inside)
        tl.store(place + 2 * deter, factor * (inner2 - mean - normal2 * along), inside)
        tl.store(of_before + row * deter + column, gradient * (1 - update), inside)
    if SUMS:
        place = sums + program * 6 * deter + column
        if ADDS:
            w0 += tl.load(place, inside, 0)
            w1 += tl.load(place + deter, inside, 0)
            w2 += tl.load(place + 2 * deter, inside, 0)
            b0 += tl.load(place + 3 * deter, inside, 0)
            b1 += tl.load(place + 4 * deter, inside, 0)
            b2 += tl.load(place + 5 * deter, inside, 0)
        tl.store(place, w0, inside)
        tl.store(place + deter, w1, inside)
        tl.store(place + 2 * deter, w2, inside)
        tl.store(place + 3 * deter, b0, inside)
        tl.store(place + 4 * deter, b1, inside)
        tl.store(place + 5 * deter, b2, inside)


def recur(gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor:
    """The GRU's next memory from the joint projection of its gates: float [rows, 3 deter], [3 deter], [3 deter], float32 [rows, deter]."""
    return _Recur.apply(gates.contiguous(), weight, bias, deter.contiguous())


class _Recur(torch.autograd.Function):
    @staticmethod
    def forward(ctx, gates: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, deter: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gates, weight, bias, deter)
        following = torch.empty_like(deter)
        launch_recur(gates, weight, bias, deter, following)
        return following

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        gates, weight, bias, deter = ctx.saved_tensors
        of_gates, of_deter = torch.empty_like(gates), torch.empty_like(deter)
        sums = torch.empty(min(len(deter), PROGRAMS), 2, len(weight), device=deter.device)
        launch_recur_back(gates, weight, bias, deter, gradient.contiguous(), of_gates, of_deter, sums)
        return of_gates, *total(sums).unbind(0), of_deter


def launch_recur(
    gates: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    before: torch.Tensor,
    following: torch.Tensor,
    copy: torch.Tensor | None = None,
) -> None:
    """The next memory [rows, deter] into `following`, and rounded into `copy`, whose rows may lie apart."""
    rows, width = before.shape
    options = {"COPIES": copy is not None, "DETER": width_of(width)}
    copy = following if copy is None else copy
    _recur[(rows,)](gates, weight, bias, before, following, copy, width, copy.stride(0), **options)


def launch_recur_back(
    gates: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    before: torch.Tensor,
    of_following: torch.Tensor,
    of_gates: torch.Tensor,
    of_before: torch.Tensor,
    sums: torch.Tensor | None = None,
    later: torch.Tensor | None = None,
    carried: torch.Tensor | None = None,
) -> None:
    """Gradients into `of_gates` and `of_before`; those of weight and bias into `sums` [programs, 2, 3 deter].

    Where `later` and `carried` [rows, deter] are given, they are added to `of_following`, and to `sums` is added.
    """
    (rows, width), adds = before.shape, later is not None
    programs = rows if sums is None else len(sums)
    options = {"SUMS": sums is not None, "ADDS": adds, "DETER": width_of(width)}
    further = (later, carried) if adds else (before, before)
    pointers = gates, weight, bias, before, of_following, *further, of_gates, of_before, of_before if sums is None else sums
    _recur_back[(programs,)](*pointers, rows, width, of_following.stride(0), **options)
