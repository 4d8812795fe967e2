"""Kernels for a graphics card in Triton: what `kernels.c` does on a CPU, and for the same reason, fewer passes and fewer launches.

An update at S is some ten thousand small launches if PyTorch's operations are used, and a replayed graph still takes two microseconds for
each. Everything computes in float32 whatever the precision of its inputs. Sums over rows are kept apart per program and added in a fixed
order, without atomics, so that equal inputs give equal results. Imported only where there is a card (`choice.card`); with
TRITON_INTERPRET=1 the tests run the kernels on a CPU.
"""

from sensei.kernels.card.actions import launch_act
from sensei.kernels.card.draws import draw, launch_draw, launch_draw_back, one_hot, straight_through
from sensei.kernels.card.gates import launch_recur, launch_recur_back, recur
from sensei.kernels.card.heads import first_layer, last_layer
from sensei.kernels.card.norm import launch_norm_silu, launch_norm_silu_back, norm_silu
from sensei.kernels.card.pictures import picture_down, picture_error, picture_up
from sensei.kernels.card.returns import lambda_return
from sensei.kernels.card.scan import launch_enter_back, scan
from sensei.kernels.card.spread import spread
from sensei.kernels.card.tiles import ALIGNED, output_dtype
from sensei.kernels.card.two_hot import two_hot_losses, two_hot_mean

__all__ = [
    "ALIGNED",
    "draw",
    "first_layer",
    "lambda_return",
    "last_layer",
    "launch_act",
    "launch_draw",
    "launch_draw_back",
    "launch_enter_back",
    "launch_norm_silu",
    "launch_norm_silu_back",
    "launch_recur",
    "launch_recur_back",
    "norm_silu",
    "one_hot",
    "output_dtype",
    "picture_down",
    "picture_error",
    "picture_up",
    "recur",
    "scan",
    "spread",
    "straight_through",
    "two_hot_losses",
    "two_hot_mean",
]
