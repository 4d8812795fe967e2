"""How work is cut up for a graphics card, and what all its kernels share."""

import torch
import triton
import triton.language as tl

from sensei.kernels import library

EPSILON = tl.constexpr(library.EPSILON)
TILE = 4096  # elements that a program takes at once
PROGRAMS = 512  # enough of them to keep a card busy
ALIGNED = 8  # numbers of two bytes that a product loads at once; rows of other lengths are filled up


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
