"""Spread of the ensemble."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import width_of

WIDTH = 1024  # dimensions at once


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


def spread(predictions: torch.Tensor, kind: str) -> torch.Tensor:
    """`disagreement.spread`: float [members, rows, dimensions] -> float32 [rows]."""
    return _Spread.apply(predictions.contiguous(), kind == "standard_deviation")


class _Spread(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predictions: torch.Tensor, root: bool) -> torch.Tensor:
        ctx.options = {"ROOT": root, "MEMBERS": len(predictions), "WIDTH": min(WIDTH, width_of(predictions.shape[2]))}
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
