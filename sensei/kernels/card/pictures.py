"""Pictures: their error, and convolutions of kernel 4, stride 2 and padding 1 between them and maps, as products with patches."""

import torch
import triton
import triton.language as tl

from sensei.kernels.card.tiles import TILE, output_dtype, total


@triton.jit
def _missed(predicted, image, place, inside):
    """Prediction minus picture, whose bytes stand for b / 255 - 0.5."""
    wanted = tl.load(image + place, inside, 0).to(tl.float32) * (1.0 / 255) - 0.5
    return tl.where(inside, tl.load(predicted + place, inside, 0).to(tl.float32) - wanted, 0.0)


@triton.jit
def _picture_error(predicted, image, error, size, BLOCK: tl.constexpr):
    row, total = tl.program_id(0).to(tl.int64), tl.zeros([BLOCK], tl.float32)
    for first in range(0, size, BLOCK):
        column = first + tl.arange(0, BLOCK)
        missed = _missed(predicted, image, row * size + column, column < size)
        total += missed * missed
    tl.store(error + row, tl.sum(total, 0))


@triton.jit
def _picture_error_back(predicted, image, of_error, of_predicted, size, BLOCK: tl.constexpr):
    row, column = tl.program_id(0).to(tl.int64), tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    missed = _missed(predicted, image, row * size + column, column < size)
    tl.store(of_predicted + row * size + column, 2 * tl.load(of_error + row) * missed, column < size)


def picture_error(predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Squared error summed over each picture: float [N, H, W, 3] against `centred` uint8 [N, H, W, 3] -> float32 [N]."""
    return _PictureError.apply(predicted.contiguous(), image.contiguous())


class _PictureError(torch.autograd.Function):
    @staticmethod
    def forward(ctx, predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(predicted, image)
        error = torch.empty(len(predicted), device=predicted.device)
        _picture_error[(len(error),)](predicted, image, error, predicted[0].numel(), BLOCK=TILE)
        return error

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        predicted, image = ctx.saved_tensors
        of_predicted, size = torch.empty_like(predicted), predicted[0].numel()
        grid = len(predicted), triton.cdiv(size, TILE)
        _picture_error_back[grid](predicted, image, gradient.contiguous(), of_predicted, size, BLOCK=TILE)
        return of_predicted, None


@triton.jit
def _patches(picture, patches, places, height, width, BYTES: tl.constexpr, BLOCK: tl.constexpr):
    """What each place of the map sees: row, column and channel of 4 x 4 pixels side by side, zeros beyond the border."""
    place, number = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[:, None], tl.arange(0, 64)[None, :]
    column, row, image = place % width, place // width % height, place // (width * height)
    # Where its first number would lie in the picture, and from there on the others: 12 follow each other, then comes the next row.
    first = ((image.to(tl.int64) * 2 * height + 2 * row - 1) * 2 * width + 2 * column - 1) * 3
    further = number // 12 * (6 * width) + number % 12
    known = (number < 48) & (place < places)
    inside = known & ((row > 0) | (number >= 12)) & ((row < height - 1) | (number < 36))
    inside = inside & ((column > 0) | (number % 12 >= 3)) & ((column < width - 1) | (number % 12 < 9))
    value = tl.load(picture + first + further, inside, 0).to(tl.float32)
    if BYTES:
        value = tl.where(inside, value * (1.0 / 255) - 0.5, 0.0)
    tl.store(patches + place.to(tl.int64) * 48 + number, value, known)


@triton.jit
def _picture(patches, bias, picture, numbers, height, width, BLOCK: tl.constexpr):
    """The picture whose patches overlap: each number is the sum of the four that fall on it, and the bias of its channel."""
    number = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel, right, below = number % 3, number // 3 % (2 * width), number // (6 * width)
    down, image = below % (2 * height), (below // (2 * height)).to(tl.int64)
    value = tl.load(bias + channel).to(tl.float32)
    for more_down in tl.static_range(2):
        for more_right in tl.static_range(2):
            row, column = (down + 1) // 2 - more_down, (right + 1) // 2 - more_right
            inside = (row >= 0) & (row < height) & (column >= 0) & (column < width) & (number < numbers)
            within = ((down + 1) % 2 + 2 * more_down) * 12 + ((right + 1) % 2 + 2 * more_right) * 3 + channel
            value += tl.load(patches + ((image * height + row) * width + column) * 48 + within, inside, 0).to(tl.float32)
    tl.store(picture + number, value, number < numbers)


def patches_of(picture: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """[N, H, W, 3] -> [N * H/2 * W/2, 48], what a convolution sees of a picture: numbers, or bytes b for b / 255 - 0.5."""
    rows, height, width, _ = picture.shape
    patches = torch.empty(rows * height // 2 * (width // 2), 48, dtype=dtype, device=picture.device)
    grid = (triton.cdiv(len(patches), 16),)
    _patches[grid](picture, patches, len(patches), height // 2, width // 2, BYTES=picture.dtype == torch.uint8, BLOCK=16)
    return patches


def picture_down(image: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """The first stage of an encoder: uint8 [N, H, W, 3], [channels, 3, 4, 4] -> [N, channels, H / 2, W / 2], channels-last."""
    dtype = output_dtype(weight)
    matrix = weight.to(dtype).permute(2, 3, 1, 0).reshape(48, -1)
    return torch.mm(patches_of(image, dtype), matrix).view(len(image), image.shape[1] // 2, image.shape[2] // 2, -1).permute(0, 3, 1, 2)


def picture_up(map: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """The last stage of a decoder: float [N, channels, H, W], [channels, 3, 4, 4], [3] -> [N, 3, 2 H, 2 W], channels-last."""
    dtype, (rows, channels, height, width) = output_dtype(map), map.shape
    matrix = weight.to(dtype).permute(0, 2, 3, 1).reshape(channels, 48)
    patches = torch.mm(map.permute(0, 2, 3, 1).reshape(-1, channels).to(dtype), matrix)
    return _Picture.apply(patches.view(rows, height, width, 48), bias).permute(0, 3, 1, 2)


class _Picture(torch.autograd.Function):
    """[N, H, W, 48], [3] -> [N, 2 H, 2 W, 3]."""

    @staticmethod
    def forward(ctx, patches: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        rows, height, width, _ = patches.shape
        picture = torch.empty(rows, 2 * height, 2 * width, 3, dtype=patches.dtype, device=patches.device)
        grid = (triton.cdiv(picture.numel(), 1024),)
        _picture[grid](patches, bias, picture, picture.numel(), height, width, BLOCK=1024)
        return picture

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        gradient = gradient.contiguous()
        rows, height, width, _ = gradient.shape
        of_bias = total(gradient.view(rows * height, 3 * width)).float().view(width, 3).sum(0)
        return patches_of(gradient, gradient.dtype).view(rows, height // 2, width // 2, 48), of_bias
