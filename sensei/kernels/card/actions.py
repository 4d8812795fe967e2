"""Continuous actions from what an actor puts out."""

import torch
import triton
import triton.language as tl

BLOCK = 1024


@triton.jit
def _act(output, noise, action, place, actions, output_stride, stride, low, high, total, BLOCK: tl.constexpr):
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    row, column, inside = number // actions, number % actions, number < total
    mean = 2 * tl.sigmoid(2 * tl.load(output + row * output_stride + column, inside, 0).to(tl.float32)) - 1
    spread = tl.load(output + row * output_stride + actions + column, inside, 0).to(tl.float32)
    chosen = mean + ((high - low) * tl.sigmoid(spread + 2) + low) * tl.load(noise + number, inside, 0)
    tl.store(action + number, chosen, inside)
    tl.store(place + row * stride + column, chosen / tl.maximum(tl.abs(chosen), 1.0), inside)


def launch_act(output: torch.Tensor, noise: torch.Tensor, action: torch.Tensor, place: torch.Tensor, stds: tuple[float, float]) -> None:
    """Sample into `action` [rows, actions], and scaled into the unit box into `place`, whose rows may lie apart.

    Args:
        output: means before tanh, then standard deviations before their sigmoid, [rows, 2 actions or more].
        noise: normal, float32 [rows, actions].
        stds: smallest and largest standard deviation.
    """
    rows, actions = action.shape
    layout = actions, output.stride(0), place.stride(0), *stds, rows * actions
    _act[(triton.cdiv(rows * actions, BLOCK),)](output, noise, action, place, *layout, BLOCK=BLOCK)
