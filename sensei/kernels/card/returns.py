"""Lambda-returns."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import width_of


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
