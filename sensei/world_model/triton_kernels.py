"""Kernels for a graphics card in Triton: what `kernels.c` does on a CPU, and for the same reason, fewer passes and fewer launches.

An update at S is some ten thousand small launches if PyTorch's operations are used, and a replayed graph still takes two microseconds for
each. Everything computes in float32 whatever the precision of its inputs. Sums over rows are kept apart per program and added in a fixed
order, without atomics, so that equal inputs give equal results. Imported only where there is a card; with TRITON_INTERPRET=1 the tests run
the kernels on a CPU.
"""

import torch
import triton
import triton.language as tl

EPSILON = tl.constexpr(1e-3)  # of LayerNorm, NORM_EPSILON in networks.py
TILE = 4096  # elements that a program takes at once
PROGRAMS = 512  # programs that share the rows where each also sums over them
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
    of_scale, of_shift = tl.zeros([WIDTH], tl.float32), tl.zeros([WIDTH], tl.float32)
    for block in range(program, tl.cdiv(rows, BLOCK), programs):
        row = (block * BLOCK + tl.arange(0, BLOCK)).to(tl.int64)[:, None]
        inside = (row < rows) & (column < width)
        normal, factor = _normalise(tl.load(x + head * head_stride + row * row_stride + column, inside, 0).to(tl.float32), inside, width)
        opened = normal * scale + shift
        gate = tl.sigmoid(opened)
        gradient = tl.load(of_y + head * of_y_head_stride + row * of_y_row_stride + column, inside, 0).to(tl.float32)
        gradient *= gate * (1 + opened * (1 - gate))
        of_scale += tl.sum(gradient * normal, 0)
        of_shift += tl.sum(gradient, 0)
        inner = gradient * scale
        mean, along = (tl.sum(inner, 1) / width)[:, None], (tl.sum(inner * normal, 1) / width)[:, None]
        tl.store(of_x + head * head_stride + row * row_stride + column, factor * (inner - mean - normal * along), inside)
    if SUMS:
        place = sums + (program * 2 * heads + head) * width + tl.arange(0, WIDTH)
        within = tl.arange(0, WIDTH) < width
        if ADDS:
            of_scale += tl.load(place, within, 0)
            of_shift += tl.load(place + heads * width, within, 0)
        tl.store(place, of_scale, within)
        tl.store(place + heads * width, of_shift, within)


def norm_silu(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """SiLU(LayerNorm(x)) over the last axis: float [..., width], [width], [width] -> [..., width], in autocast's type.

    With weight and bias [heads, width] x is [heads, rows, width].
    """
    width = x.shape[-1]
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
        block = rows_at_once(rows * heads, width)
        programs = min(triton.cdiv(rows, block), triton.cdiv(PROGRAMS, heads))
        given = torch.empty_strided(x.shape, x.stride(), dtype=x.dtype, device=x.device)
        sums = torch.empty(programs, 2, heads, width, device=x.device)
        layout = rows, width, x.stride(0), x.stride(1), gradient.stride(0), gradient.stride(1)
        options = {"SUMS": True, "ADDS": False, "BLOCK": block, "WIDTH": width_of(width)}
        _norm_silu_back[programs, heads](x, weight, bias, gradient, given, sums, *layout, **options)
        return given, *sums.sum(0).unbind(0)


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
    block = 1 if sums is not None else rows_at_once(rows, width)
    layout = rows, width, 0, x.stride(0), 0, of_y.stride(0)
    options = {"SUMS": sums is not None, "ADDS": True, "BLOCK": block, "WIDTH": width_of(width)}
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
        gradient = tl.load(of_following + row * deter + column, inside, 0)
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
        return of_gates, *sums.sum(0).unbind(0), of_deter


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
    _recur_back[(programs,)](*pointers, rows, width, **options)


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
    x = tl.load(logits + row[:, None] * classes + column, inside, float("-inf")).to(tl.float32)
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
    gradient = tl.load(given + place, inside, 0)
    if ADDS > 0:
        gradient += tl.load(later + row // variables * stride + row % variables * classes + column, inside, 0).to(tl.float32)
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
        launch_draw_back(probabilities, gradient, of_logits, ctx.mix)
        return of_logits, None, None


def launch_draw(
    logits: torch.Tensor,
    uniform: torch.Tensor,
    index: torch.Tensor,
    probabilities: torch.Tensor,
    mix: float,
    vectors: torch.Tensor | None = None,
) -> None:
    """Draw into `index` [rows, variables] and `probabilities` [rows, variables, classes], and one-hot into `vectors` [rows, ...]."""
    rows, classes = uniform.numel(), probabilities.shape[-1]
    block = rows_at_once(rows, classes)
    layout = (rows, classes, 1, classes) if vectors is None else (rows, classes, uniform.shape[-1], vectors.stride(0))
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

    `later` is [rows, variables * classes], its rows may lie apart.
    """
    variables, classes = probabilities.shape[-2:] if probabilities.dim() > 1 else (1, len(probabilities))
    rows = probabilities.numel() // classes
    block = rows_at_once(rows, classes)
    options = {"ADDS": (later is not None) + (further is not None), "BLOCK": block, "CLASSES": width_of(classes)}
    layout = rows, classes, variables, variables * classes if later is None else later.stride(0)
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
        widths = {"UNITS": width_of(units), "DETER": width_of(deter)}
        for t in range(time):
            given = index[t - 1], keep[t], acted[t], memory[t - 1], start, start_projection, from_stoch, input_weight, input_bias
            made = sums[t], joint[t], before[t], stoch, classes, units, deter
            _enter[(batch,)](*given, *made, FIRST=t == 0, STOCH=8, **widths)
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
def _two_hot_loss(logits, target, loss, scale, rows, BLOCK: tl.constexpr):
    row, column = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64), tl.arange(0, 256)[None, :]
    known, inside = row < rows, (row < rows)[:, None] & (column < BINS)
    x = tl.load(logits + row[:, None] * BINS + column, inside, 0).to(tl.float32)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)
    whole = most + tl.log(tl.sum(tl.where(column < BINS, tl.exp(x - most[:, None]), 0.0), 1))
    below, share = _symlog_position(tl.load(target + row, known, 0))
    wanted = tl.where(column == below[:, None], 1 - share[:, None], 0.0) + tl.where(column == below[:, None] + 1, share[:, None], 0.0)
    tl.store(loss + row, tl.sum(wanted * (whole[:, None] - x), 1), known)
    tl.store(scale + row, whole, known)


@triton.jit
def _two_hot_loss_back(logits, target, scale, of_loss, of_logits, rows, BLOCK: tl.constexpr):
    row, column = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64), tl.arange(0, 256)[None, :]
    known, inside = row < rows, (row < rows)[:, None] & (column < BINS)
    x = tl.load(logits + row[:, None] * BINS + column, inside, 0).to(tl.float32)
    below, share = _symlog_position(tl.load(target + row, known, 0))
    wanted = tl.where(column == below[:, None], 1 - share[:, None], 0.0) + tl.where(column == below[:, None] + 1, share[:, None], 0.0)
    gradient = tl.load(of_loss + row, known, 0)[:, None] * (tl.exp(x - tl.load(scale + row, known, 0)[:, None]) - wanted)
    tl.store(of_logits + row[:, None] * BINS + column, gradient, inside)


@triton.jit
def _two_hot_mean(logits, result, mean, rows, BLOCK: tl.constexpr):
    row, column = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64), tl.arange(0, 256)[None, :]
    known, inside = row < rows, (row < rows)[:, None] & (column < BINS)
    x = tl.load(logits + row[:, None] * BINS + column, inside, 0).to(tl.float32)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)[:, None]
    power = tl.where(column < BINS, tl.exp(x - most), 0.0)
    middle = tl.sum(power * (column * (2 * LIMIT / (BINS - 1)) - LIMIT), 1) / tl.sum(power, 1)
    size = tl.exp(tl.abs(middle)) - 1
    tl.store(mean + row, middle, known)
    tl.store(result + row, tl.where(middle < 0, -size, size), known)


@triton.jit
def _two_hot_mean_back(logits, mean, of_result, of_logits, rows, BLOCK: tl.constexpr):
    row, column = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)).to(tl.int64), tl.arange(0, 256)[None, :]
    known, inside = row < rows, (row < rows)[:, None] & (column < BINS)
    x = tl.load(logits + row[:, None] * BINS + column, inside, 0).to(tl.float32)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)[:, None]
    power = tl.where(column < BINS, tl.exp(x - most), 0.0)
    middle = tl.load(mean + row, known, 0)
    gradient = tl.load(of_result + row, known, 0) * tl.exp(tl.abs(middle))
    distance = column * (2 * LIMIT / (BINS - 1)) - LIMIT - middle[:, None]
    tl.store(of_logits + row[:, None] * BINS + column, gradient[:, None] * distance * power / tl.sum(power, 1)[:, None], inside)


TWO_HOT_ROWS = 8  # of one program


def two_hot_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_loss`: float [..., 255], float [...] without gradient -> float32 [...]."""
    return _TwoHotLoss.apply(logits.contiguous(), target.float().expand(logits.shape[:-1]).contiguous())


class _TwoHotLoss(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        loss, scale = torch.empty_like(target), torch.empty_like(target)
        _two_hot_loss[(triton.cdiv(loss.numel(), TWO_HOT_ROWS),)](logits, target, loss, scale, loss.numel(), BLOCK=TWO_HOT_ROWS)
        ctx.save_for_backward(logits, target, scale)
        return loss

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, target, scale = ctx.saved_tensors
        of_logits, rows = torch.empty_like(logits), target.numel()
        pointers = logits, target, scale, gradient.contiguous(), of_logits
        _two_hot_loss_back[(triton.cdiv(rows, TWO_HOT_ROWS),)](*pointers, rows, BLOCK=TWO_HOT_ROWS)
        return of_logits, None


def two_hot_mean(logits: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_mean`: float [..., 255] -> float32 [...]."""
    return _TwoHotMean.apply(logits.contiguous())


class _TwoHotMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        result, mean = (torch.empty(logits.shape[:-1], device=logits.device) for _ in range(2))
        _two_hot_mean[(triton.cdiv(mean.numel(), TWO_HOT_ROWS),)](logits, result, mean, mean.numel(), BLOCK=TWO_HOT_ROWS)
        ctx.save_for_backward(logits, mean)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, mean = ctx.saved_tensors
        of_logits, rows = torch.empty_like(logits), mean.numel()
        _two_hot_mean_back[(triton.cdiv(rows, TWO_HOT_ROWS),)](logits, mean, gradient.contiguous(), of_logits, rows, BLOCK=TWO_HOT_ROWS)
        return of_logits


# Spread of the ensemble, error of pictures ------------------------------------------------------------------------------------------------


@triton.jit
def _spread(predictions, result, members, rows, dimensions, ROOT: tl.constexpr, MEMBERS: tl.constexpr, WIDTH: tl.constexpr):
    row, member = tl.program_id(0).to(tl.int64), tl.arange(0, MEMBERS)[:, None]
    total = tl.zeros([WIDTH], tl.float32)
    for first in range(0, dimensions, WIDTH):
        column = first + tl.arange(0, WIDTH)[None, :]
        inside = (member < members) & (column < dimensions)
        x = tl.load(predictions + (member.to(tl.int64) * rows + row) * dimensions + column, inside, 0).to(tl.float32)
        away = tl.where(inside, x - (tl.sum(x, 0) / members)[None, :], 0.0)
        variance = tl.sum(away * away, 0) / members
        if ROOT:
            variance = tl.where(tl.sum(column, 0) < dimensions, tl.sqrt(tl.maximum(variance, 1e-12)), 0.0)
        total += variance
    tl.store(result + row, tl.sum(total, 0) / dimensions)


@triton.jit
def _spread_back(
    predictions,
    of_result,
    of_predictions,
    members,
    rows,
    dimensions,
    ROOT: tl.constexpr,
    MEMBERS: tl.constexpr,
    WIDTH: tl.constexpr,
):
    row, member = tl.program_id(0).to(tl.int64), tl.arange(0, MEMBERS)[:, None]
    gradient = tl.load(of_result + row) * 2 / (members * dimensions)
    for first in range(0, dimensions, WIDTH):
        column = first + tl.arange(0, WIDTH)[None, :]
        inside = (member < members) & (column < dimensions)
        place = (member.to(tl.int64) * rows + row) * dimensions + column
        x = tl.load(predictions + place, inside, 0).to(tl.float32)
        away = tl.where(inside, x - (tl.sum(x, 0) / members)[None, :], 0.0)
        if ROOT:
            variance = tl.sum(away * away, 0) / members
            away = tl.where((variance > 1e-12)[None, :], away * 0.5 / tl.sqrt(tl.maximum(variance, 1e-12))[None, :], 0.0)
        tl.store(of_predictions + place, gradient * away, inside)


SPREAD_WIDTH = 512


def spread(predictions: torch.Tensor, kind: str) -> torch.Tensor:
    """`disagreement.spread`: float [members, rows, dimensions] -> float32 [rows]."""
    return _Spread.apply(predictions.contiguous(), kind == "standard_deviation")


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predictions: torch.Tensor, root: bool) -> torch.Tensor:
        ctx.options = {"ROOT": root, "MEMBERS": width_of(len(predictions)), "WIDTH": min(SPREAD_WIDTH, width_of(predictions.shape[2]))}
        ctx.save_for_backward(predictions)
        result = torch.empty(predictions.shape[1], device=predictions.device)
        _spread[(len(result),)](predictions, result, *predictions.shape, **ctx.options)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (predictions,) = ctx.saved_tensors
        of_predictions = torch.empty_like(predictions)
        _spread_back[(len(gradient),)](predictions, gradient.contiguous(), of_predictions, *predictions.shape, **ctx.options)
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
