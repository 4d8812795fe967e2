"""Two-hot regression: 255 bins in rows of 256, passed once a direction."""

import torch
import triton
import triton.language as tl

BINS = tl.constexpr(255)  # over [-LIMIT, LIMIT] in symlog space
LIMIT = tl.constexpr(20.0)
ROWS = 8  # of one program


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
def _wanted(target, column):
    """Shares of the bins that a target falls between: [rows] -> [rows, 256]."""
    below, share = _symlog_position(target)
    return tl.where(column == below[:, None], 1 - share[:, None], 0.0) + tl.where(column == below[:, None] + 1, share[:, None], 0.0)


@triton.jit
def _two_hot_loss(logits, targets, losses, scale, rows, head_stride, row_stride, TARGETS: tl.constexpr, BLOCK: tl.constexpr):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    most = tl.max(tl.where(column < BINS, x, float("-inf")), 1)
    whole = most + tl.log(tl.sum(tl.where(column < BINS, tl.exp(x - most[:, None]), 0.0), 1))
    for target in tl.static_range(TARGETS):
        place = target * tl.num_programs(1) * rows + number
        wanted = _wanted(tl.load(targets + place, known, 0), column)
        tl.store(losses + place, tl.sum(wanted * (whole[:, None] - x), 1), known)
    tl.store(scale + number, whole, known)


@triton.jit
def _two_hot_loss_back(
    logits, targets, scale, of_losses, of_logits, rows, head_stride, row_stride, TARGETS: tl.constexpr, BLOCK: tl.constexpr
):
    x, number, known, column = _bins(logits, rows, head_stride, row_stride, BLOCK)
    shares = tl.exp(x - tl.load(scale + number, known, 0)[:, None])
    gradient = tl.zeros([BLOCK, 256], tl.float32)
    for target in tl.static_range(TARGETS):
        place = target * tl.num_programs(1) * rows + number
        wanted = _wanted(tl.load(targets + place, known, 0), column)
        gradient += tl.load(of_losses + place, known, 0)[:, None] * (shares - wanted)
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


def _launch(kernel, logits: torch.Tensor, *others: torch.Tensor, **options: int) -> None:
    """Run a kernel on logits [heads, rows, 255], whose rows may lie apart."""
    heads, rows, _ = logits.shape
    kernel[triton.cdiv(rows, ROWS), heads](logits, *others, rows, logits.stride(0), logits.stride(1), BLOCK=ROWS, **options)


def _heads_apart(logits: torch.Tensor) -> torch.Tensor:
    """[rows, 255] or [heads, ..., 255] as [heads, rows, 255], without a copy where rows follow each other evenly."""
    logits = logits.unsqueeze(0) if logits.dim() == 2 else logits.flatten(1, -2)
    return logits if logits.stride(-1) == 1 else logits.contiguous()


def _filled_up(logits: torch.Tensor) -> torch.Tensor:
    """Space for the gradient of [heads, rows, 255]; what is beyond the bins will hold zeros."""
    return torch.empty(*logits.shape[:2], 256, dtype=logits.dtype, device=logits.device)


def two_hot_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_losses`: float [rows, 255] or [heads, ..., 255], [targets, ...] without gradient -> float32 [targets, ...]."""
    return _TwoHotLosses.apply(_heads_apart(logits), targets.float().contiguous())


class _TwoHotLosses(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        losses, scale = torch.empty_like(targets), torch.empty_like(targets[0])
        _launch(_two_hot_loss, logits, targets, losses, scale, TARGETS=len(targets))
        ctx.save_for_backward(logits, targets, scale)
        return losses

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, targets, scale = ctx.saved_tensors
        of_logits = _filled_up(logits)
        _launch(_two_hot_loss_back, logits, targets, scale, gradient.contiguous(), of_logits, TARGETS=len(targets))
        return of_logits[..., : logits.shape[-1]], None


def two_hot_mean(logits: torch.Tensor) -> torch.Tensor:
    """`distributions.two_hot_mean`: float [rows, 255] or [heads, ..., 255] -> float32 [...]."""
    return _TwoHotMean.apply(_heads_apart(logits)).view(logits.shape[:-1])


class _TwoHotMean(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits: torch.Tensor) -> torch.Tensor:
        result, mean = (torch.empty(logits.shape[:-1], device=logits.device) for _ in range(2))
        _launch(_two_hot_mean, logits, result, mean)
        ctx.save_for_backward(logits, mean)
        return result

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        logits, mean = ctx.saved_tensors
        of_logits = _filled_up(logits)
        _launch(_two_hot_mean_back, logits, mean, gradient.contiguous(), of_logits)
        return of_logits[..., : logits.shape[-1]]
