"""Convolutions of kernel 4, stride 2 and padding 1, in channels-last memory.

Upwards into few channels (the last stages of the decoder, the gradient of the first stages of the encoder) each output pixel sees
2 x 2 inputs: one ordinary 2 x 2 convolution yields the four pixels of a place as four groups of channels, which are then put side by
side. It costs the same arithmetic and is twice as fast on a CPU as the transposed convolution.
"""

import torch
import torch.nn.functional as F
from torch import nn

from sensei.world_model import kernels
from sensei.world_model.products import by_hand

FEW = 16  # channels up to which this pays
LAST = torch.channels_last


class Down(nn.Conv2d):
    """[N, inputs, H, W] -> [N, outputs, H / 2, W / 2], without bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, inputs, H, W] -> [N, outputs, H / 2, W / 2]."""
        if self.in_channels == 3 and not x.requires_grad and kernels.pictures(x, self.out_channels, x.shape[-1] // 2):
            return _FromPicture.apply(x, self.weight)
        return _Down.apply(x, self.weight) if _pays(x, self.in_channels) and x.requires_grad else super().forward(x)


class Up(nn.ConvTranspose2d):
    """[N, inputs, H, W] -> [N, outputs, 2 H, 2 W]."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, inputs, H, W] -> [N, outputs, 2 H, 2 W]."""
        if self.out_channels == 3 and self.bias is not None and (triton := kernels.card(x)):
            return triton.picture_up(x, self.weight, self.bias)
        if not _pays(x, self.out_channels):
            return super().forward(x)
        if self.out_channels == 3 and self.bias is not None and kernels.pictures(x, self.in_channels, x.shape[-1]):
            return _ToPicture.apply(x, self.weight, self.bias)
        return _Up.apply(x, self.weight, self.bias)


def _pays(x: torch.Tensor, channels: int) -> bool:
    return channels <= FEW and by_hand(x)


def side_by_side(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The transposed convolution: float [N, inputs, H, W], [inputs, outputs, 4, 4], [outputs] -> [N, outputs, 2 H, 2 W]."""
    (rows, inputs, height, width), outputs = x.shape, weight.shape[1]
    # Row 2 i + s - 1 of the output gets input row i - 1 + p by kernel row 2 (1 - p) + s; columns alike.
    kernel = weight.reshape(inputs, outputs, 2, 2, 2, 2).flip((2, 4)).permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
    bias = None if bias is None else bias.repeat(4)
    y = F.conv2d(x, kernel.contiguous(memory_format=LAST), bias, padding=1)
    together = kernels.interleave(y, outputs)
    if together is not None:
        return together
    y = (
        y.permute(0, 2, 3, 1)
        .view(rows, height + 1, width + 1, 2, 2, outputs)
        .transpose(2, 3)
        .reshape(rows, 2 * height + 2, 2 * width + 2, outputs)
    )
    return y[:, 1:-1, 1:-1].permute(0, 3, 1, 2)


def _backward(gradient: torch.Tensor, x: torch.Tensor, weight: torch.Tensor, transposed: bool, wanted: tuple[bool, bool, bool]):
    """Gradients of input, weight and bias, those that are wanted."""
    arguments = [gradient.shape[1]], (2, 2), (1, 1), (1, 1), transposed, (0, 0), 1, wanted
    return torch.ops.aten.convolution_backward(gradient.contiguous(memory_format=LAST), x, weight, *arguments)


class _Down(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, stride=2, padding=1)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        return side_by_side(gradient, weight), _backward(gradient, x, weight, False, (False, True, False))[1]


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return side_by_side(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        return _backward(gradient, x, weight, True, ctx.needs_input_grad)


class _FromPicture(torch.autograd.Function):
    @staticmethod
    def forward(ctx, picture: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(picture)
        return kernels.picture_down(picture, weight)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        return None, kernels.picture_weight(*ctx.saved_tensors, gradient)


class _ToPicture(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return kernels.picture_up(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        lines = gradient.permute(0, 2, 3, 1).flatten(2).sum((0, 1))
        return kernels.picture_down(gradient, weight), kernels.picture_weight(gradient, x), lines.view(-1, 3).sum(0)
