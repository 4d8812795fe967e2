"""Categorical samples."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import rows_at_once, width_of


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
