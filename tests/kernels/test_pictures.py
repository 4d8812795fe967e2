"""Convolutions of pictures and their error in C against PyTorch's own operations."""

import pytest
import torch
from fakes.both_ways import assert_close, both_ways, leaf

from sensei.kernels.pictures import NARROW, picture_error, serves
from sensei.world_model.networks import Down, Up

pytestmark = pytest.mark.usefixtures("in_c")


@pytest.mark.parametrize("channels", NARROW)
@pytest.mark.parametrize("half", [8, 12, 32])
def test_convolutions_between_pictures_and_few_channels(channels, half):
    picture, map = leaf(3, 3, 2 * half, 2 * half).detach(), leaf(3, channels, half, half)
    down, up = Down(3, channels), Up(channels, 3, bias=True)
    assert serves("from_picture", picture, channels, half)
    assert_close(*both_ways(lambda: down(picture), *down.parameters()))
    assert_close(*both_ways(lambda: up(map), map, *up.parameters()))


def test_error_of_pictures():
    predicted = leaf(5, 8, 8, 3)
    image = torch.randint(256, (5, 8, 8, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    assert_close(*both_ways(lambda: picture_error(predicted, image), predicted))
