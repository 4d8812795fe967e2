"""Tokens of pictures and texts, as providers count them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensei.annotators.vlm.openai.cost import most_text_tokens, picture_tokens, text_tokens
from sensei.annotators.vlm.openai.options import OpenAIOptions


# OpenAI's guide "Images and vision", section "Calculating costs", and its examples.
@pytest.mark.parametrize(
    ("detail", "height", "width", "tokens"),
    [("low", 4096, 8192, 85), ("high", 1024, 1024, 765), ("high", 4096, 2048, 1105), ("high", 80, 80, 255), ("low", 80, 80, 85)],
)
def test_pictures_are_counted_in_tiles(detail, height, width, tokens):
    assert picture_tokens(height, width, OpenAIOptions(kind="openai_api", model="m", detail=detail)) == tokens


@pytest.mark.parametrize(("height", "width", "factor", "tokens"), [(1024, 1024, 1.0, 1024), (1800, 2400, 1.0, 1536), (80, 80, 1.62, 15)])
def test_pictures_are_counted_in_patches(height, width, factor, tokens):
    options = OpenAIOptions(kind="openai_api", model="m", prices={"pictures": "patches", "patch_factor": factor})
    assert picture_tokens(height, width, options) == pytest.approx(tokens, abs=0.5 * factor)


@given(st.text())
def test_no_text_takes_more_than_its_bytes(text):
    assert text_tokens(text) <= most_text_tokens(text)
