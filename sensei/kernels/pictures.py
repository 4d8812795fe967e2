"""Pictures: convolutions between them and maps of few channels, and how far a prediction misses its bytes."""

import torch

from sensei.kernels.choice import call, card, ours
from sensei.kernels.library import VECTOR, threads
from sensei.kernels.products import dot

NARROW = (8, 16)  # channels for which these convolutions are faster than PyTorch's


def serves(operation: str, x: torch.Tensor, channels: int, half: int) -> bool:
    """Whether a kernel takes maps of [half, half, channels] and their pictures of twice the side: `from_picture` or `to_picture`."""
    return channels in NARROW and half % 4 == 0 and 8 <= half <= 64 and ours(f"{operation} {channels}", x)


class FromPicture(torch.autograd.Function):
    """Convolution of kernel 4, stride 2, padding 1: float [N, 3, 2 H, 2 H], [channels, 3, 4, 4] -> [N, channels, H, H]."""

    @staticmethod
    def forward(ctx, picture: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(picture)
        return _down(picture, weight)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        return None, _of_weight(*ctx.saved_tensors, gradient)


class ToPicture(torch.autograd.Function):
    """Its transpose: float [N, channels, H, H], [channels, 3, 4, 4], [3] -> [N, 3, 2 H, 2 H]."""

    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        return _up(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        lines = gradient.permute(0, 2, 3, 1).flatten(2).sum((0, 1))
        return _down(gradient, weight), _of_weight(gradient, x), lines.view(-1, 3).sum(0)


def _down(picture: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    rows, channels, half = len(picture), len(weight), picture.shape[-1] // 2
    map = torch.empty(rows, half, half, channels)
    layout = rows, half, channels, threads(map.numel())
    call("picture_down", _last(picture), weight.permute(2, 3, 1, 0).contiguous(), map, *layout)
    return map.permute(0, 3, 1, 2)


def _up(map: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    rows, channels, half = map.shape[:3]
    picture = torch.empty(rows, 2 * half, 2 * half, 3)
    # Row 2 i + s - 1 of the picture gets row i - 1 + p of the map by kernel row 2 (1 - p) + s; columns alike.
    parts = weight.reshape(channels, 3, 2, 2, 2, 2).flip((2, 4)).permute(2, 4, 0, 3, 5, 1).reshape(2, 2, channels, 2, 6)
    start = torch.nn.functional.pad(bias.repeat(4).view(2, 6), (0, 2))
    layout = rows, half, channels, threads(picture.numel())
    call("picture_up", _last(map), torch.nn.functional.pad(parts, (0, 2)).contiguous(), start, picture, *layout)
    return picture.permute(0, 3, 1, 2)


def _of_weight(picture: torch.Tensor, map: torch.Tensor) -> torch.Tensor:
    """Gradient of the weight of either: float [N, 3, 2 H, 2 H], [N, channels, H, H] -> [channels, 3, 4, 4]."""
    rows, channels, half = map.shape[:3]
    shared = threads(map.numel())
    sums = torch.zeros(shared, 4, channels, 16)
    call("picture_weight", _last(picture), _last(map), sums, rows, half, channels, shared)
    return sums.sum(0)[..., :12].reshape(4, channels, 4, 3).permute(1, 3, 0, 2)


def _last(x: torch.Tensor) -> torch.Tensor:
    return x.contiguous(memory_format=torch.channels_last)


def centred(image: torch.Tensor) -> torch.Tensor:
    """A picture in [-0.5, 0.5], as the encoder reads it and the decoder predicts it: uint8 [...] -> float [...]."""
    return image.to(torch.float32, copy=True).mul_(1 / 255).sub_(0.5)


def picture_error(predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Squared error summed over each picture: float [N, H, W, 3] against `centred` uint8 [N, H, W, 3] -> [N]."""
    if triton := card(predicted):
        return triton.picture_error(predicted, image)
    if predicted[0].numel() % VECTOR or not ours("picture_error", predicted):
        missed = (predicted - centred(image)).flatten(1)
        return dot(missed, missed)
    return _PictureError.apply(predicted.contiguous(), image.contiguous())


class _PictureError(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        error = torch.empty(len(predicted))
        ctx.layout = len(predicted), predicted[0].numel(), threads(predicted.numel())
        ctx.save_for_backward(predicted, image)
        call("picture_error", predicted, image, error, *ctx.layout)
        return error

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        predicted, image = ctx.saved_tensors
        of_predicted = torch.empty_like(predicted)
        call("picture_error_back", predicted, image, gradient.contiguous(), of_predicted, *ctx.layout)
        return of_predicted, None
