"""Convolutions of kernel 4, stride 2 and padding 1, in channels-last memory, and their transposes.

Upwards into few channels (the last stages of the decoder, the gradient of the first stages of the encoder) each output pixel sees
2 x 2 inputs: one ordinary 2 x 2 convolution yields the four pixels of a place as four groups of channels, which are then put side by
side. It costs the same arithmetic and is twice as fast on a CPU as the transposed convolution.
"""

import torch
import torch.nn.functional as F

from sensei.kernels import pictures
from sensei.kernels.choice import card, ours

FEW = 3, 8, 16  # channels for which this may pay
LAST = torch.channels_last


def down(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """float [N, inputs, H, W], [outputs, inputs, 4, 4] -> [N, outputs, H / 2, W / 2]."""
    outputs, inputs = weight.shape[:2]
    if inputs == 3 and not x.requires_grad and pictures.serves("from_picture", x, outputs, x.shape[-1] // 2):
        return pictures.FromPicture.apply(x, weight)
    if x.requires_grad and _pays(x, inputs):
        return _Down.apply(x, weight)
    return F.conv2d(x, weight, stride=2, padding=1)


def from_picture(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """`down` of a picture as it is stored: uint8 [N, H, W, 3], [outputs, 3, 4, 4] -> [N, outputs, H / 2, W / 2]."""
    if triton := card(weight):
        return triton.picture_down(image, weight)
    return down(pictures.centred(image).permute(0, 3, 1, 2), weight)


def up(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """float [N, inputs, H, W], [inputs, outputs, 4, 4], [outputs] -> [N, outputs, 2 H, 2 W]."""
    inputs, outputs = weight.shape[:2]
    if outputs == 3 and bias is not None and (triton := card(x)):
        return triton.picture_up(x, weight, bias)
    if outputs == 3 and bias is not None and pictures.serves("to_picture", x, inputs, x.shape[-1]):
        return pictures.ToPicture.apply(x, weight, bias)
    if _pays(x, outputs):
        return _Up.apply(x, weight, bias)
    return F.conv_transpose2d(x, weight, bias, stride=2, padding=1)


def _pays(x: torch.Tensor, channels: int) -> bool:
    """Whether to put pixels of so many channels side by side: those of the next larger number that was measured decide."""
    few = next((few for few in FEW if channels <= few), None)
    return few is not None and ours(f"transposed {few}", x)


def _side_by_side(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
    """The transposed convolution: float [N, inputs, H, W], [inputs, outputs, 4, 4], [outputs] -> [N, outputs, 2 H, 2 W]."""
    inputs, outputs = weight.shape[:2]
    # Row 2 i + s - 1 of the output gets input row i - 1 + p by kernel row 2 (1 - p) + s; columns alike.
    kernel = weight.reshape(inputs, outputs, 2, 2, 2, 2).flip((2, 4)).permute(3, 5, 1, 0, 2, 4).reshape(4 * outputs, inputs, 2, 2)
    bias = None if bias is None else bias.repeat(4)
    y = F.conv2d(x, kernel.contiguous(memory_format=LAST), bias, padding=1).permute(0, 2, 3, 1)
    rows, height, width, _ = y.shape
    y = y.view(rows, height, width, 2, 2, outputs).transpose(2, 3).reshape(rows, 2 * height, 2 * width, outputs)
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
        return _side_by_side(gradient, weight), _backward(gradient, x, weight, False, (False, True, False))[1]


class _Up(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _side_by_side(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        return _backward(gradient, x, weight, True, ctx.needs_input_grad)
