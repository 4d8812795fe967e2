"""Kernels for a graphics card in Triton: what `kernels.c` does on a CPU, and for the same reason, fewer passes and fewer launches.

An update at S is some ten thousand small launches if PyTorch's operations are used, and a replayed graph still takes two microseconds for
each. Everything computes in float32 whatever the precision of its inputs. Sums over rows are kept apart per program and added in a fixed
order, without atomics, so that equal inputs give equal results. Imported only where there is a card; with TRITON_INTERPRET=1 the tests run
the kernels on a CPU.
"""

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from sensei.world_model.products import is_frozen

EPSILON = tl.constexpr(1e-3)  # of LayerNorm, NORM_EPSILON in networks.py
TILE = 4096  # elements that a program takes at once
PROGRAMS = 512  # enough of them to keep a card busy
SUMMING = 2048  # programs that share the rows where each also sums over those it takes
ALIGNED = 8  # numbers of two bytes that a product loads at once; rows of other lengths are filled up
BINS = tl.constexpr(255)  # of two-hot regression, over [-LIMIT, LIMIT] in symlog space
LIMIT = tl.constexpr(20.0)


def width_of(columns: int) -> int:
    """The power of two a row is filled up to."""
    return triton.next_power_of_2(columns)


def rows_at_once(rows: int, columns: int) -> int:
    """Rows of one program: as many as a tile holds, but few enough that every part of the card has work."""
    return max(1, min(TILE // width_of(columns), triton.next_power_of_2(triton.cdiv(rows, PROGRAMS))))


def output_dtype(x: torch.Tensor) -> torch.dtype:
    """What a product would make of `x` here: autocast's type, else its own."""
    return torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else x.dtype


def total(parts: torch.Tensor) -> torch.Tensor:
    """Sum over the first axis as a product, which is several times as fast where the axis is long: float [n, ...] -> [...]."""
    ones = torch.ones(1, len(parts), dtype=parts.dtype, device=parts.device)
    return torch.mm(ones, parts.flatten(1))[0].view(parts.shape[1:])


# SiLU of LayerNorm ------------------------------------------------------------------------------------------------------------------------


@triton.jit
def _normalise(x, inside, width):
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
    normal, _ = _normalise(tl.load(x + head * head_stride + row * row_stride + column, inside, 0).to(tl.float32), inside, width)
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
        normal, factor = _normalise(tl.load(x + head * head_stride + row * row_stride + column, inside, 0).to(tl.float32), inside, width)
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


# Gates of the recurrence ------------------------------------------------------------------------------------------------------------------


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


# Categorical samples ----------------------------------------------------------------------------------------------------------------------


@triton.jit
def _draw(
    logits,
    uniform,
    index,
    probabilities,
    vectors,
    rows,
    classes,
    logits_stride,
    variables,
    stride,
    mix,
    PLACES: tl.constexpr,
    BLOCK: tl.constexpr,
    CLASSES: tl.constexpr,
):
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)
    column = tl.arange(0, CLASSES)[None, :]
    known, inside = row < rows, (row < rows)[:, None] & (column < classes)
    x = tl.load(logits + row[:, None] * logits_stride + column, inside, float("-inf")).to(tl.float32)
    x = tl.where(known[:, None], x, 0.0)
    power = tl.exp(x - tl.max(x, 1)[:, None])
    shares = power / tl.sum(power, 1)[:, None] * (1 - mix) + mix / classes
    shares = tl.where(column < classes, shares, 0.0)
    limit = tl.load(uniform + row, known, 0.0) * tl.sum(shares, 1)
    passed = (tl.cumsum(shares, 1) <= limit[:, None]) & (column < classes)
    chosen = tl.minimum(tl.sum(passed.to(tl.int32), 1), classes - 1)
    tl.store(index + row, chosen.to(tl.int64), known)
    tl.store(probabilities + row[:, None] * classes + column, shares, inside)
    if PLACES:
        place = (row // variables * stride + row % variables * classes)[:, None] + column
        tl.store(vectors + place, (column == chosen[:, None]).to(tl.float32), inside)


@triton.jit
def _draw_back(
    probabilities,
    given,
    onehot,
    later,
    of_logits,
    rows,
    classes,
    variables,
    given_stride,
    stride,
    mix,
    ADDS: tl.constexpr,
    BLOCK: tl.constexpr,
    CLASSES: tl.constexpr,
):
    row = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None]
    column = tl.arange(0, CLASSES)[None, :]
    place, inside = row * classes + column, (row < rows) & (column < classes)
    shares = tl.where(inside, (tl.load(probabilities + place, inside, 0) - mix / classes) / (1 - mix), 0.0)
    within = row % variables * classes + column
    gradient = tl.load(given + row // variables * given_stride + within, inside, 0).to(tl.float32)
    if ADDS > 0:
        gradient += tl.load(later + row // variables * stride + within, inside, 0).to(tl.float32)
    if ADDS > 1:
        gradient += tl.load(onehot + place, inside, 0)
    gradient *= 1 - mix
    tl.store(of_logits + place, shares * (gradient - tl.sum(shares * gradient, 1)[:, None]), inside)


@triton.jit
def _one_hot(index, vectors, rows, classes, BLOCK: tl.constexpr, CLASSES: tl.constexpr):
    row, column = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64), tl.arange(0, CLASSES)[None, :]
    chosen = tl.load(index + row, row < rows, 0)[:, None]
    tl.store(vectors + row[:, None] * classes + column, (column == chosen).to(tl.float32), (row < rows)[:, None] & (column < classes))


def draw(logits: torch.Tensor, uniform_mix: float, uniform: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """`distributions.draw`: float [..., classes], [...] -> int64 [...], float32 [..., classes] with the gradient of the logits."""
    return _Draw.apply(logits.contiguous(), uniform_mix, uniform.contiguous())


class _Draw(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, mix: float, uniform: torch.Tensor):
        index = torch.empty(uniform.shape, dtype=torch.int64, device=logits.device)
        probabilities = torch.empty(logits.shape, device=logits.device)
        launch_draw(logits, uniform, index, probabilities, mix)
        ctx.mix, ctx.dtype = mix, logits.dtype
        ctx.save_for_backward(probabilities)
        ctx.mark_non_differentiable(index)
        return index, probabilities

    @staticmethod
    def backward(ctx, _, gradient: torch.Tensor):
        (probabilities,) = ctx.saved_tensors
        of_logits, gradient = torch.empty(probabilities.shape, dtype=ctx.dtype, device=probabilities.device), gradient.contiguous()
        variables = probabilities.view(-1, 1, probabilities.shape[-1])
        launch_draw_back(variables, gradient.view(variables.shape), of_logits, ctx.mix)
        return of_logits, None, None


def launch_draw(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    index: torch.Tensor,
    probabilities: torch.Tensor,
    mix: float,
    vectors: torch.Tensor | None = None,
) -> None:
    """Draw into `index` [rows, variables] and `probabilities` [rows, variables, classes], and one-hot into `vectors` [rows, ...].

    `logits` are [rows * variables, classes], whose rows may lie apart, or of another shape without space between.
    """
    rows, classes = uniform.numel(), probabilities.shape[-1]
    block = rows_at_once(rows, classes)
    place = (1, classes) if vectors is None else (uniform.shape[-1], vectors.stride(0))
    layout = rows, classes, logits.stride(0) if logits.shape == (rows, classes) else classes, *place
    options = {"PLACES": vectors is not None, "BLOCK": block, "CLASSES": width_of(classes)}
    vectors = probabilities if vectors is None else vectors
    _draw[(triton.cdiv(rows, block),)](logits, uniform, index, probabilities, vectors, *layout, mix, **options)


def launch_draw_back(
    probabilities: torch.Tensor,
    gradient: torch.Tensor,
    of_logits: torch.Tensor,
    mix: float,
    later: torch.Tensor | None = None,
    further: torch.Tensor | None = None,
) -> None:
    """Gradient of logits [rows, variables, classes] from that of probabilities or one-hot vectors, or the sum of up to three.

    `gradient` and `later` are [rows, variables * classes], their rows may lie apart.
    """
    variables, classes = probabilities.shape[-2:]
    rows = probabilities.numel() // classes
    block = rows_at_once(rows, classes)
    options = {"ADDS": (later is not None) + (further is not None), "BLOCK": block, "CLASSES": width_of(classes)}
    layout = rows, classes, variables, gradient.stride(0), variables * classes if later is None else later.stride(0)
    added = gradient if further is None else further, gradient if later is None else later
    _draw_back[(triton.cdiv(rows, block),)](probabilities, gradient, *added, of_logits, *layout, mix, **options)


def one_hot(index: torch.Tensor, classes: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """int64 [...] -> [..., classes]."""
    vectors, index = torch.empty((*index.shape, classes), dtype=dtype, device=index.device), index.contiguous()
    block = rows_at_once(index.numel(), classes)
    _one_hot[(triton.cdiv(index.numel(), block),)](index, vectors, index.numel(), classes, BLOCK=block, CLASSES=width_of(classes))
    return vectors


def straight_through(index: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
    """One-hot sample whose gradient is that of the probabilities: int64 [...], float [..., classes] -> float [..., classes]."""
    return _StraightThrough.apply(index, probabilities)


class _StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, index: torch.Tensor, probabilities: torch.Tensor) -> torch.Tensor:
        return one_hot(index, probabilities.shape[-1], probabilities.dtype)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        return None, gradient


# The posterior scan -----------------------------------------------------------------------------------------------------------------------


@triton.jit
def _enter(
    index,
    keep,
    acted,
    memory,
    start,
    start_projection,
    from_stoch,
    weight,
    bias,
    sums,
    joint,
    before,
    stoch,
    classes,
    units,
    deter,
    FIRST: tl.constexpr,
    STOCH: tl.constexpr,
    UNITS: tl.constexpr,
    DETER: tl.constexpr,
):
    """One row of a step: rows of `from_stoch` gathered, forgotten where an episode begins, action added, LayerNorm, SiLU."""
    row, column, place = tl.program_id(0), tl.arange(0, UNITS), tl.arange(0, DETER)
    there, within = column < units, place < deter
    total = tl.load(start_projection + column, there, 0)
    state = tl.load(start + place, within, 0)
    if not FIRST:
        kept = tl.load(keep + row)
        gathered = tl.zeros([UNITS], tl.float32)
        for first in range(0, stoch, STOCH):
            variable = first + tl.arange(0, STOCH)
            chosen = variable * classes + tl.load(index + row * stoch + variable, variable < stoch, 0).to(tl.int32)
            inside = (variable < stoch)[:, None] & there[None, :]
            gathered += tl.sum(tl.load(from_stoch + chosen[:, None] * units + column[None, :], inside, 0), 0)
        total += kept * (gathered - total)
        state += kept * (tl.load(memory + row * deter + place, within, 0) - state)
    total += tl.load(acted + row * units + column, there, 0)
    tl.store(sums + row * units + column, total, there)
    normal, _ = _normalise(total[None, :], there[None, :], units)
    opened = normal * tl.load(weight + column, there, 0)[None, :] + tl.load(bias + column, there, 0)[None, :]
    width = units + deter
    tl.store(joint + row * width + column[None, :], opened * tl.sigmoid(opened), there[None, :])
    tl.store(joint + row * width + units + place, state, within)
    tl.store(before + row * deter + place, state, within)


@triton.jit
def _enter_back(
    sums,
    weight,
    bias,
    of_joint,
    of_before,
    keep,
    of_sums,
    passed,
    carried,
    of_norm,
    units,
    deter,
    SUMS: tl.constexpr,
    FIRST: tl.constexpr,
    UNITS: tl.constexpr,
    DETER: tl.constexpr,
):
    """Back through `_enter` as far as the matrices; `of_before` becomes the whole gradient of the memory that entered."""
    row, column, place = tl.program_id(0), tl.arange(0, UNITS), tl.arange(0, DETER)
    there, within, width = column < units, place < deter, units + deter
    normal, factor = _normalise(tl.load(sums + row * units + column, there, 0).to(tl.float32)[None, :], there[None, :], units)
    scale, shift = tl.load(weight + column, there, 0)[None, :], tl.load(bias + column, there, 0)[None, :]
    opened = normal * scale + shift
    gate = tl.sigmoid(opened)
    gradient = tl.load(of_joint + row * width + column, there, 0).to(tl.float32)[None, :] * gate * (1 + opened * (1 - gate))
    if SUMS:
        norm = of_norm + row * 2 * units + column
        tl.store(norm, tl.load(norm, there, 0) + tl.sum(gradient * normal, 0), there)
        tl.store(norm + units, tl.load(norm + units, there, 0) + tl.sum(gradient, 0), there)
    inner = gradient * scale
    mean, along = (tl.sum(inner, 1) / units)[:, None], (tl.sum(inner * normal, 1) / units)[:, None]
    of_total = tl.sum(factor * (inner - mean - normal * along), 0)
    tl.store(of_sums + row * units + column, of_total, there)
    of_state = tl.load(of_before + row * deter + place, within, 0)
    of_state += tl.load(of_joint + row * width + units + place, within, 0).to(tl.float32)
    tl.store(of_before + row * deter + place, of_state, within)
    if not FIRST:
        kept = tl.load(keep + row)
        tl.store(passed + row * units + column, kept * of_total, there)
        tl.store(carried + row * deter + place, kept * of_state, within)


def launch_enter_back(
    entered: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    of_joint: torch.Tensor,
    of_before: torch.Tensor,
    keep: torch.Tensor,
    of_entered: torch.Tensor,
    passed: torch.Tensor,
    carried: torch.Tensor,
    sums: torch.Tensor | None = None,
    first: bool = False,
) -> None:
    """Back from x and h side by side [rows, units + deter] to what LayerNorm was given, float32 into `of_entered` [rows, units].

    What goes on to the step before, nothing where `keep` [rows] is 0, goes into `passed` [rows, units] and `carried` [rows, deter].
    """
    (rows, units), deter = entered.shape, of_before.shape[-1]
    pointers = entered, weight, bias, of_joint, of_before, keep, of_entered, passed, carried, carried if sums is None else sums
    options = {"SUMS": sums is not None, "FIRST": first, "UNITS": width_of(units), "DETER": width_of(deter)}
    _enter_back[(rows,)](*pointers, units, deter, **options)


def scan(classes: int, uniform_mix: float, keep: torch.Tensor, uniform: torch.Tensor, *leaves: torch.Tensor):
    """The posterior scan of `RSSM.observe`, gradient included; arguments and results as `kernels.scan`.

    Matrix products are in autocast's type, everything else in float32.
    """
    embedded, acted, *weights = leaves
    dtype = output_dtype(embedded)
    turned = keep.t().clone(memory_format=torch.contiguous_format), uniform.transpose(0, 1).contiguous()
    turned[0][0].zero_()
    turned += embedded.transpose(0, 1).to(dtype).contiguous(), acted.transpose(0, 1).float().contiguous()
    memory, onehot, index, probabilities = _Scan.apply(classes, uniform_mix, dtype, *turned, *weights)
    return *(part.transpose(0, 1) for part in (memory, onehot, index)), probabilities.transpose(0, 1).unflatten(-1, (-1, classes))


class _Scan(torch.autograd.Function):
    """Time runs along the first axis; gradients of the matrices are made after the loop, for all steps at once."""

    @staticmethod
    def forward(ctx, classes: int, mix: float, dtype: torch.dtype, keep, uniform, embedded, acted, start, start_projection, *weights):
        from_stoch, input_weight, input_bias, gates, gate_weight, gate_bias, from_deter, hidden_weight, hidden_bias, output, bias = weights
        (time, batch, stoch), units, deter, flat = uniform.shape, embedded.shape[-1], len(start), output.shape[1]
        gates, from_deter, output, bias = (weight.to(dtype) for weight in (gates, from_deter, output, bias))

        def space(*shape: int, of: torch.dtype = torch.float32) -> torch.Tensor:
            return torch.empty(time, batch, *shape, dtype=of, device=keep.device)

        sums, before, memory, probabilities = space(units), space(deter), space(deter), space(flat)
        joint, opened, copy = space(units + deter, of=dtype), space(3 * deter, of=dtype), space(deter, of=dtype)
        seen, hidden, logits = space(units, of=dtype), space(units, of=dtype), space(flat, of=dtype)[0]
        index = space(stoch, of=torch.int64)
        options = {"STOCH": min(32, width_of(stoch)), "UNITS": width_of(units), "DETER": width_of(deter), "num_warps": 8}
        for t in range(time):
            given = index[t - 1], keep[t], acted[t], memory[t - 1], start, start_projection, from_stoch, input_weight, input_bias
            made = sums[t], joint[t], before[t], stoch, classes, units, deter
            _enter[(batch,)](*given, *made, FIRST=t == 0, **options)
            torch.mm(joint[t], gates, out=opened[t])
            launch_recur(opened[t], gate_weight, gate_bias, before[t], memory[t], copy[t])
            torch.addmm(embedded[t], copy[t], from_deter, out=seen[t])
            launch_norm_silu(seen[t][None], hidden_weight, hidden_bias, hidden[t][None])
            torch.addmm(bias, hidden[t], output, out=logits)
            launch_draw(logits, uniform[t], index[t], probabilities[t].view(batch, stoch, classes), mix)
        onehot = one_hot(index, classes).flatten(-2)
        ctx.numbers = classes, mix, dtype, stoch
        norms = input_weight, input_bias, gate_weight, gate_bias, hidden_weight, hidden_bias
        kept = keep, from_stoch, *norms, gates, from_deter, output
        ctx.save_for_backward(*kept, sums, before, joint, opened, copy, seen, hidden, probabilities, index)
        ctx.mark_non_differentiable(index)
        return memory, onehot, index, probabilities

    @staticmethod
    def backward(ctx, of_memory: torch.Tensor, of_onehot: torch.Tensor, _, of_probabilities: torch.Tensor):
        classes, mix, dtype, stoch = ctx.numbers
        keep, from_stoch, input_weight, input_bias, gate_weight, gate_bias, hidden_weight, hidden_bias, *rest = ctx.saved_tensors
        gates, from_deter, output, sums, before, joint, opened, copy, seen, hidden, probabilities, index = rest
        (time, batch, units), deter = sums.shape, before.shape[-1]
        of_memory, of_onehot, of_probabilities = (part.contiguous() for part in (of_memory, of_onehot, of_probabilities))
        turned = from_stoch.to(dtype).t()
        of_sums, of_before, passed = torch.empty_like(sums), torch.empty_like(before), torch.empty_like(seen)
        of_opened, of_seen, of_logits = torch.empty_like(opened), torch.empty_like(seen), torch.empty_like(probabilities, dtype=dtype)
        later, of_hidden = torch.zeros_like(of_logits[0]), torch.empty_like(seen[0])
        of_copy, of_joint = torch.empty_like(copy[0]), torch.empty_like(joint[0])
        carried = torch.zeros_like(before[0])
        input_sums, gate_sums, hidden_sums = (torch.zeros(batch, 2, width, device=keep.device) for width in (units, 3 * deter, units))
        for t in reversed(range(time)):
            drawn = probabilities[t].view(batch, stoch, classes)
            launch_draw_back(drawn, of_probabilities[t], of_logits[t], mix, later, of_onehot[t])
            torch.mm(of_logits[t], output.t(), out=of_hidden)
            launch_norm_silu_back(seen[t], hidden_weight, hidden_bias, of_hidden, of_seen[t], hidden_sums)
            torch.mm(of_seen[t], from_deter.t(), out=of_copy)
            arguments = opened[t], gate_weight, gate_bias, before[t], of_memory[t], of_opened[t], of_before[t], gate_sums, of_copy, carried
            launch_recur_back(*arguments)
            torch.mm(of_opened[t], gates.t(), out=of_joint)
            arguments = sums[t], input_weight, input_bias, of_joint, of_before[t], keep[t], of_sums[t], passed[t], carried, input_sums
            launch_enter_back(*arguments, first=t == 0)
            if t:
                torch.mm(passed[t], turned, out=later)

        def of_matrix(inputs: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
            return torch.mm(inputs.flatten(0, 1).t(), gradient.flatten(0, 1)).float()

        forgotten = (1 - keep).unsqueeze(-1)
        input_norm, gate_norm, hidden_norm = (part.sum(0).unbind(0) for part in (input_sums, gate_sums, hidden_sums))
        of_weights = (
            (forgotten * of_before).sum((0, 1)),
            (forgotten * of_sums).sum((0, 1)),
            of_matrix(one_hot(index[:-1], classes, dtype).flatten(-2), passed[1:]),
            *(*input_norm, of_matrix(joint, of_opened)),
            *(*gate_norm, of_matrix(copy, of_seen)),
            *(*hidden_norm, of_matrix(hidden, of_logits)),
            of_logits.sum((0, 1), dtype=torch.float32),
        )
        return None, None, None, None, None, of_seen, of_sums, *of_weights


# Two-hot regression -----------------------------------------------------------------------------------------------------------------------


@triton.jit
def _symlog_position(target):
    """Where a target lies among the bins: the bin below, and the share of the one above."""
    size = tl.log(1 + tl.abs(target))
    place = tl.minimum(tl.maximum(tl.where(target < 0, -size, size), -LIMIT), LIMIT)
    place = (place + LIMIT) * ((BINS - 1) / (2 * LIMIT))
    below = tl.minimum(tl.floor(place), BINS - 2)
    return below.to(tl.int32), place - below


@triton.jit
def _bins(logits, rows, head_stride, row_stride, BLOCK: tl.constexpr):
    """Logits of some rows of a head, their numbers, and which of both there are."""
    row, column = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK), tl.arange(0, 256)[None, :]
    known = row < rows
    place = tl.program_id(1).to(tl.int64) * head_stride + row.to(tl.int64)[:, None] * row_stride + column
    x = tl.load(logits + place, known[:, None] & (column < BINS), 0).to(tl.float32)
    return x, tl.program_id(1) * rows + row, known, column


@triton.jit
def _two_hot_loss(logits, target, loss, scale, rows, head_stride, row_stride, BLOCK: tl.constexpr):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)
    whole = most + tl.log(tl.sum(tl.where(column < BINS, tl.exp(x - most[:, None]), 0.0), 1))
    below, share = _symlog_position(tl.load(target + number, known, 0))
    wanted = tl.where(column == below[:, None], 1 - share[:, None], 0.0) + tl.where(column == below[:, None] + 1, share[:, None], 0.0)
    tl.store(loss + number, tl.sum(wanted * (whole[:, None] - x), 1), known)
    tl.store(scale + number, whole, known)


@triton.jit
def _two_hot_loss_back(logits, target, scale, of_loss, of_logits, rows, head_stride, row_stride, BLOCK: tl.constexpr):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    below, share = _symlog_position(tl.load(target + number, known, 0))
    wanted = tl.where(column == below[:, None], 1 - share[:, None], 0.0) + tl.where(column == below[:, None] + 1, share[:, None], 0.0)
    gradient = tl.load(of_loss + number, known, 0)[:, None] * (tl.exp(x - tl.load(scale + number, known, 0)[:, None]) - wanted)
    tl.store(of_logits + number.to(tl.int64)[:, None] * 256 + column, tl.where(column < BINS, gradient, 0.0), known[:, None])


@triton.jit
def _two_hot_mean(logits, result, mean, rows, head_stride, row_stride, BLOCK: tl.constexpr):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)[:, None]
    power = tl.where(column < BINS, tl.exp(x - most), 0.0)
    middle = tl.sum(power * (column * (2 * LIMIT / (BINS - 1)) - LIMIT), 1) / tl.sum(power, 1)
    size = tl.exp(tl.abs(middle)) - 1
    tl.store(mean + number, middle, known)
    tl.store(result + number, tl.where(middle < 0, -size, size), known)


@triton.jit
def _two_hot_mean_back(logits, mean, of_result, of_logits, rows, head_stride, row_stride, BLOCK: tl.constexpr):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)[:, None]
    power = tl.where(column < BINS, tl.exp(x - most), 0.0)
    middle = tl.load(mean + number, known, 0)
    gradient = tl.load(of_result + number, known, 0) * tl.exp(tl.abs(middle))
    distance = column * (2 * LIMIT / (BINS - 1)) - LIMIT - middle[:, None]
    gradient = gradient[:, None] * distance * power / tl.sum(power, 1)[:, None]
    tl.store(of_logits + number.to(tl.int64)[:, None] * 256 + column, gradient, known[:, None])


TWO_HOT_ROWS = 8  # of one program


def _launch_two_hot(kernel, logits: torch.Tensor, *others: torch.Tensor) -> None:
    """Run a kernel on logits [heads, rows, 255], whose rows may lie apart."""
    heads, rows, _ = logits.shape
    kernel[triton.cdiv(rows, TWO_HOT_ROWS), heads](logits, *others, rows, logits.stride(0), logits.stride(1), BLOCK=TWO_HOT_ROWS)


def _heads_apart(logits: torch.Tensor) -> torch.Tensor:
    """[rows, 255] or [heads, ..., 255] as [heads, rows, 255], without a copy where rows follow each other evenly."""
    logits = logits.unsqueeze(0) if logits.dim() == 2 else logits.flatten(1, -2)
    return logits if logits.stride(-1) == 1 else logits.contiguous()


def _filled_up(logits: torch.Tensor) -> torch.Tensor:
    """Space for the gradient of [heads, rows, 255]; what is beyond the bins will hold zeros."""
    return torch.empty(*logits.shape[:2], 256, dtype=logits.dtype, device=logits.device)


def two_hot_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_loss`: float [rows, 255] or [heads, ..., 255], float [...] without gradient -> float32 [...]."""
    return _TwoHotLoss.apply(_heads_apart(logits), target.float().expand(logits.shape[:-1]).contiguous()).view(logits.shape[:-1])


class _TwoHotLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss, scale = torch.empty_like(target), torch.empty_like(target)
        _launch_two_hot(_two_hot_loss, logits, target, loss, scale)
        ctx.save_for_backward(logits, target, scale)
        return loss

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, target, scale = ctx.saved_tensors
        of_logits = _filled_up(logits)
        _launch_two_hot(_two_hot_loss_back, logits, target, scale, gradient.contiguous(), of_logits)
        return of_logits[..., : logits.shape[-1]], None


def two_hot_mean(logits: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_mean`: float [rows, 255] or [heads, ..., 255] -> float32 [...]."""
    return _TwoHotMean.apply(_heads_apart(logits)).view(logits.shape[:-1])


class _TwoHotMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        result, mean = (torch.empty(logits.shape[:-1], device=logits.device) for _ in range(2))
        _launch_two_hot(_two_hot_mean, logits, result, mean)
        ctx.save_for_backward(logits, mean)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, mean = ctx.saved_tensors
        of_logits = _filled_up(logits)
        _launch_two_hot(_two_hot_mean_back, logits, mean, gradient.contiguous(), of_logits)
        return of_logits[..., : logits.shape[-1]]


# Last layers of heads ---------------------------------------------------------------------------------------------------------------------


def outputs(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Last layers: float [heads, rows, inputs], [heads, inputs, outputs], [heads, outputs] -> [heads, rows, outputs], in the type of `x`.

    Computed with as many outputs as products like; those are laid out in the rows of the result, between which there is then space.
    """
    if is_frozen():
        weight, bias = weight.detach(), bias.detach()
    return _Outputs.apply(x, weight.to(x.dtype), bias.to(x.dtype))


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.columns, more = weight.shape[-1], -weight.shape[-1] % ALIGNED
        if more:
            weight, bias = F.pad(weight, (0, more)), F.pad(bias, (0, more))
        y = torch.empty(*x.shape[:2], weight.shape[-1], dtype=x.dtype, device=x.device)
        for head in range(len(x)):  # a batched product would begin with a copy of the bias into every row
            torch.addmm(bias[head], x[head], weight[head], out=y[head])
        ctx.save_for_backward(x, weight)
        return y[..., : ctx.columns]

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        gradient = _whole_rows(gradient.to(x.dtype), weight.shape[-1])
        of_x = torch.bmm(gradient, weight.mT) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None, None
        ones = torch.ones(len(x), 1, x.shape[1], dtype=x.dtype, device=x.device)
        of_weight, of_bias = torch.bmm(x.mT, gradient), torch.bmm(ones, gradient)[:, 0]
        return of_x, of_weight[..., : ctx.columns], of_bias[..., : ctx.columns]


def _whole_rows(gradient: torch.Tensor, width: int) -> torch.Tensor:
    """Rows filled up with zeros to `width`, which those from `_filled_up` are already: [heads, rows, columns] -> [heads, rows, width]."""
    heads, rows, columns = gradient.shape
    if columns == width:
        return gradient
    if width == 256 and gradient.stride() == (rows * width, width, 1) and gradient.storage_offset() == 0:
        return gradient.as_strided((heads, rows, width), gradient.stride())
    return F.pad(gradient, (0, width - columns))


# Spread of the ensemble, error of pictures ------------------------------------------------------------------------------------------------


@triton.jit
def _spread(predictions, result, rows, dimensions, ROOT: tl.constexpr, MEMBERS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    total = tl.zeros([WIDTH], tl.float32)
    for first in range(0, dimensions, WIDTH):
        column = first + tl.arange(0, WIDTH)
        place, inside = predictions + row * dimensions + column, column < dimensions
        middle = tl.load(place, inside, 0).to(tl.float32)  # near the mean, so that little is lost when squares are subtracted
        away, square = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
        for _member in tl.static_range(MEMBERS - 1):
            place += rows.to(tl.int64) * dimensions
            difference = tl.load(place, inside, 0).to(tl.float32) - middle
            away += difference
            square += difference * difference
        variance = tl.maximum(square / MEMBERS - away / MEMBERS * (away / MEMBERS), 0.0)
        if ROOT:
            variance = tl.where(inside, tl.sqrt(tl.maximum(variance, 1e-12)), 0.0)
        total += variance
    tl.store(result + row, tl.sum(total, 0) / dimensions)


@triton.jit
def _spread_back(predictions, of_result, of_predictions, rows, dimensions, ROOT: tl.constexpr, MEMBERS: tl.constexpr, WIDTH: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    gradient = tl.load(of_result + row) * 2 / (MEMBERS * dimensions)
    for first in range(0, dimensions, WIDTH):
        column = first + tl.arange(0, WIDTH)
        inside, step = column < dimensions, rows.to(tl.int64) * dimensions
        place, given = predictions + row * dimensions + column, of_predictions + row * dimensions + column
        mean, factor = tl.zeros([WIDTH], tl.float32), gradient
        for member in tl.static_range(MEMBERS):
            mean += tl.load(place + member * step, inside, 0).to(tl.float32) / MEMBERS
        if ROOT:
            square = tl.zeros([WIDTH], tl.float32)
            for member in tl.static_range(MEMBERS):
                away = tl.load(place + member * step, inside, 0).to(tl.float32) - mean
                square += away * away
            variance = square / MEMBERS
            factor = tl.where(variance > 1e-12, gradient * 0.5 / tl.sqrt(tl.maximum(variance, 1e-12)), 0.0)
        for member in tl.static_range(MEMBERS):
            away = tl.load(place + member * step, inside, 0).to(tl.float32) - mean
            tl.store(given + member * step, factor * away, inside)


SPREAD_WIDTH = 1024  # dimensions at once


def spread(predictions: torch.Tensor, kind: str) -> torch.Tensor:
    """`disagreement.spread`: float [members, rows, dimensions] -> float32 [rows]."""
    return _Spread.apply(predictions.contiguous(), kind == "standard_deviation")


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predictions: torch.Tensor, root: bool) -> torch.Tensor:
        ctx.options = {"ROOT": root, "MEMBERS": len(predictions), "WIDTH": min(SPREAD_WIDTH, width_of(predictions.shape[2]))}
        ctx.save_for_backward(predictions)
        result = torch.empty(predictions.shape[1], device=predictions.device)
        _spread[(len(result),)](predictions, result, *predictions.shape[1:], **ctx.options)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (predictions,) = ctx.saved_tensors
        of_predictions = torch.empty_like(predictions)
        _spread_back[(len(gradient),)](predictions, gradient.contiguous(), of_predictions, *predictions.shape[1:], **ctx.options)
        return of_predictions, None


@triton.jit
def _missed(predicted, image, place, inside):
    """Prediction minus picture, whose bytes stand for b / 255 - 0.5."""
    wanted = tl.load(image + place, inside, 0).to(tl.float32) * (1.0 / 255) - 0.5
    return tl.where(inside, tl.load(predicted + place, inside, 0).to(tl.float32) - wanted, 0.0)


@triton.jit
def _picture_error(predicted, image, error, size, BLOCK: tl.constexpr):
    row, total = tl.program_id(0).to(tl.int64), tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        column = first + tl.arange(0, BLOCK)
        missed = _missed(predicted, image, row * size + column, column < size)
        total += missed * missed
    tl.store(error + row, tl.sum(total, 0))


@triton.jit
def _picture_error_back(predicted, image, of_error, of_predicted, size, BLOCK: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    missed = _missed(predicted, image, row * size + column, column < size)
    tl.store(of_predicted + row * size + column, 2 * tl.load(of_error + row) * missed, column < size)


def picture_error(predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Squared error summed over each picture: float [N, H, W, 3] against `centred` uint8 [N, H, W, 3] -> float32 [N]."""
    return _PictureError.apply(predicted.contiguous(), image.contiguous())


class _PictureError(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(predicted, image)
        error = torch.empty(len(predicted), device=predicted.device)
        _picture_error[(len(error),)](predicted, image, error, predicted[0].numel(), BLOCK=TILE)
        return error

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        predicted, image = ctx.saved_tensors
        of_predicted, size = torch.empty_like(predicted), predicted[0].numel()
        grid = len(predicted), triton.cdiv(size, TILE)
        _picture_error_back[grid](predicted, image, gradient.contiguous(), of_predicted, size, BLOCK=TILE)
        return of_predicted, None


# Convolutions of kernel 4, stride 2 and padding 1 between pictures and maps, as products with patches ------------------------------------


@triton.jit
def _patches(picture, patches, places, height, width, BYTES: tl.constexpr, BLOCK: tl.constexpr):
    """What each place of the map sees: row, column and channel of 4 x 4 pixels side by side, zeros beyond the border."""
    place, number = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[:, None], tl.arange(0, 64)[None, :]
    column, row, image = place % width, place // width % height, place // (width * height)
    # Where its first number would lie in the picture, and from there on the others: 12 follow each other, then comes the next row.
    first = ((image.to(tl.int64) * 2 * height + 2 * row - 1) * 2 * width + 2 * column - 1) * 3
    further = number // 12 * (6 * width) + number % 12
    known = (number < 48) & (place < places)
    inside = known & ((row > 0) | (number >= 12)) & ((row < height - 1) | (number < 36))
    inside = inside & ((column > 0) | (number % 12 >= 3)) & ((column < width - 1) | (number % 12 < 9))
    value = tl.load(picture + first + further, inside, 0).to(tl.float32)
    if BYTES:
        value = tl.where(inside, value * (1.0 / 255) - 0.5, 0.0)
    tl.store(patches + place.to(tl.int64) * 48 + number, value, known)


@triton.jit
def _picture(patches, bias, picture, numbers, height, width, BLOCK: tl.constexpr):
    """The picture whose patches overlap: each number is the sum of the four that fall on it, and the bias of its channel."""
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel, right, below = number % 3, number // 3 % (2 * width), number // (6 * width)
    down, image = below % (2 * height), (below // (2 * height)).to(tl.int64)
    value = tl.load(bias + channel).to(tl.float32)
    for more_down in tl.static_range(2):
        for more_right in tl.static_range(2):
            row, column = (down + 1) // 2 - more_down, (right + 1) // 2 - more_right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (number < numbers)
            within = ((down + 1) % 2 + 2 * more_down) * 12 + ((right + 1) % 2 + 2 * more_right) * 3 + channel
            value += tl.load(patches + ((image * height + row) * width + column) * 48 + within, inside, 0).to(tl.float32)
    tl.store(picture + number, value, number < numbers)


def patches_of(picture: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[N, H, W, 3] -> [N * H/2 * W/2, 48], what a convolution sees of a picture: numbers, or bytes b for b / 255 - 0.5."""
    rows, height, width, _ = picture.shape
    patches = torch.empty(rows * height // 2 * (width // 2), 48, dtype=dtype, device=picture.device)
    grid = (triton.cdiv(len(patches), 16),)
    _patches[grid](picture, patches, len(patches), height // 2, width // 2, BYTES=picture.dtype == torch.uint8, BLOCK=16)
    return patches


def picture_down(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The first stage of an encoder: uint8 [N, H, W, 3], [channels, 3, 4, 4] -> [N, channels, H / 2, W / 2], channels-last."""
    dtype = output_dtype(weight)
    matrix = weight.to(dtype).permute(2, 3, 1, 0).reshape(48, -1)
    return torch.mm(patches_of(image, dtype), matrix).view(len(image), image.shape[1] // 2, image.shape[2] // 2, -1).permute(0, 3, 1, 2)


def picture_up(map: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The last stage of a decoder: float [N, channels, H, W], [channels, 3, 4, 4], [3] -> [N, 3, 2 H, 2 W], channels-last."""
    dtype, (rows, channels, height, width) = output_dtype(map), map.shape
    matrix = weight.to(dtype).permute(0, 2, 3, 1).reshape(channels, 48)
    patches = torch.mm(map.permute(0, 2, 3, 1).reshape(-1, channels).to(dtype), matrix)
    return _Picture.apply(patches.view(rows, height, width, 48), bias).permute(0, 3, 1, 2)


class _Picture(torch.autograd.Function):
    """[N, H, W, 48], [3] -> [N, 2 H, 2 W, 3]."""

    @staticmethod
    def forward(ctx, patches: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        rows, height, width, _ = patches.shape
        picture = torch.empty(rows, 2 * height, 2 * width, 3, dtype=patches.dtype, device=patches.device)
        grid = (triton.cdiv(picture.numel(), 1024),)
        _picture[grid](patches, bias, picture, picture.numel(), height, width, BLOCK=1024)
        return picture

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        gradient = gradient.contiguous()
        rows, height, width, _ = gradient.shape
        of_bias = total(gradient.view(rows * height, 3 * width)).float().view(width, 3).sum(0)
        return patches_of(gradient, gradient.dtype).view(rows, height // 2, width // 2, 48), of_bias


# Lambda-returns ---------------------------------------------------------------------------------------------------------------------------


@triton.jit
def _lambda_return(reward, value, discount, returns, sources, horizon, rows, trace, SOURCES: tl.constexpr, BLOCK: tl.constexpr):
    source, row = tl.arange(0, SOURCES)[:, None], tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside = (source < sources) & (row < rows)
    following = tl.load(value + (source * (horizon + 1) + horizon) * rows + row, inside, 0)
    for back in range(horizon):
        t = horizon - 1 - back
        later = tl.load(value + (source * (horizon + 1) + t + 1) * rows + row, inside, 0)
        following = tl.load(discount + t * rows + row, row < rows, 0) * (later + trace * (following - later))
        following += tl.load(reward + (source * horizon + t) * rows + row, inside, 0)
        tl.store(returns + (source * horizon + t) * rows + row, following, inside)


@triton.jit
def _lambda_return_back(
    value,
    discount,
    returns,
    of_returns,
    of_reward,
    of_value,
    of_discount,
    sources,
    horizon,
    rows,
    trace,
    SOURCES: tl.constexpr,
    BLOCK: tl.constexpr,
):
    source, row = tl.arange(0, SOURCES)[:, None], tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)[None, :]
    inside, known = (source < sources) & (row < rows), tl.sum(row, 0) < rows
    gradient = tl.zeros([SOURCES, BLOCK], tl.float32)
    tl.store(of_value + source * (horizon + 1) * rows + row, gradient, inside)
    for t in range(horizon):
        place = (source * horizon + t) * rows + row
        gradient += tl.load(of_returns + place, inside, 0)
        tl.store(of_reward + place, gradient, inside)
        next_value = (source * (horizon + 1) + t + 1) * rows + row
        later, last = tl.load(value + next_value, inside, 0), t == horizon - 1
        following = tl.load(returns + place + rows, inside & (not last), 0)
        following = tl.where(last, later, following)
        factor = tl.load(discount + t * rows + row, row < rows, 0)
        tl.store(of_discount + t * rows + tl.sum(row, 0), tl.sum(gradient * (later + trace * (following - later)), 0), known)
        gradient *= factor
        tl.store(of_value + next_value, gradient * tl.where(last, 1.0, 1 - trace), inside)
        gradient *= trace


def lambda_return(reward: torch.Tensor, value: torch.Tensor, discount: torch.Tensor, trace: float) -> torch.Tensor:
    """`returns.lambda_return` of float32 [sources, horizon, rows], [sources, horizon + 1, rows], [horizon, rows]."""
    return _LambdaReturn.apply(reward.contiguous(), value.contiguous(), discount.contiguous(), trace)


class _LambdaReturn(torch.autograd.Function):
    @staticmethod
    def forward(ctx, reward: torch.Tensor, value: torch.Tensor, discount: torch.Tensor, trace: float) -> torch.Tensor:
        returns = torch.empty_like(reward)
        ctx.layout, ctx.options = (*reward.shape, trace), {"SOURCES": width_of(len(reward)), "BLOCK": 64}
        _lambda_return[(triton.cdiv(reward.shape[2], 64),)](reward, value, discount, returns, *ctx.layout, **ctx.options)
        ctx.save_for_backward(value, discount, returns)
        return returns

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        value, discount, returns = ctx.saved_tensors
        given = torch.empty_like(returns), torch.empty_like(value), torch.empty_like(discount)
        pointers = value, discount, returns, gradient.contiguous(), *given
        _lambda_return_back[(triton.cdiv(returns.shape[2], 64),)](*pointers, *ctx.layout, **ctx.options)
        return *given, None
