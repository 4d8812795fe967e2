"""One look: colours that stay apart for every reader, short numbers."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import EXPLORE

from sensei.analysis import published, style
from sensei.analysis.figures.label_panels import CODE_COLOURS

# Machado, Oliveira and Fernandes (2009), severity 1: what a reader without one kind of cone sees of linear RGB.
BLINDNESS = {
    "none": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
}


def lab(colour: str, blindness: str) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen with one kind of colour blindness."""
    rgb = np.array([int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(BLINDNESS[blindness]) @ linear, 0, 1)
    xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]]) @ seen / [0.9505, 1, 1.089]
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def nearest(colours, blindness: str) -> float:
    """Distance of the two colours that are nearest to each other."""
    return min(np.linalg.norm(lab(one, blindness) - lab(other, blindness)) for one, other in itertools.combinations(colours, 2))


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_of_methods_stay_apart(blindness):
    assert set(EXPLORE) < set(style.COLOURS) <= set(style.MARKERS) <= set(style.COLOURS | style.VARIANT_COLOURS)
    assert nearest(style.COLOURS.values(), blindness) > 15


@pytest.mark.parametrize("blindness", BLINDNESS)
@pytest.mark.parametrize("number", [14, 19, 20, 27])
def test_variants_stay_apart_from_methods_and_from_each_other_in_their_figure(number, blindness):
    shown = set((published.curves if number == 27 else published.bars)(number)["method"])
    assert nearest([style.colour(name) for name in shown], blindness) > 10
    others = itertools.product(style.VARIANT_COLOURS.values(), style.COLOURS.values())
    assert min(np.linalg.norm(lab(one, blindness) - lab(other, blindness)) for one, other in others) > 10
    assert len(set(style.VARIANT_COLOURS.values())) == len(style.VARIANT_COLOURS)


@pytest.mark.parametrize("blindness", BLINDNESS)
def test_colours_of_annotators_stay_apart(blindness):
    colours = style.colours_of(["oracle", "noisy_oracle", "oracle", "clip", "gpt-4o", "gpt-4o-mini", "mine"])
    assert list(colours) == ["oracle", "noisy_oracle", "clip", "gpt-4o", "gpt-4o-mini", "mine"]
    assert nearest(colours.values(), blindness) > 15
    others = [*style.COLOURS.values(), *CODE_COLOURS.values()]
    pairs = itertools.product(colours.values(), others)
    assert min(np.linalg.norm(lab(one, blindness) - lab(other, blindness)) for one, other in pairs) > 10, (
        "an annotator looks like another thing"
    )


def test_a_method_of_ones_own_has_a_colour():
    assert style.colour("mine") == style.colour("mine")
    assert style.colour("mine") not in style.COLOURS.values()


def test_methods_keep_their_order_and_others_follow():
    assert style.ordered(["mine", "random", "sensei", "mine"]) == ["sensei", "random", "mine"]


def test_the_interval_drawn_is_the_one_given():
    means = pd.DataFrame({"method": ["a", "b"], "value": [2.0, 5.0], "low": [1.0, np.nan], "high": [4.0, np.nan]})
    values = style.with_interval(means).groupby("method")["value"]
    assert values.median().tolist() == [2.0, 5.0]
    assert values.min().tolist() == [1.0, 5.0] and values.max().tolist() == [4.0, 5.0]


@pytest.mark.parametrize(("value", "text"), [(0, "0"), (0.25, "0.25"), (950, "950"), (1000, "1K"), (500_000, "500K"), (1_500_000, "1.5M")])
def test_short_numbers(value, text):
    assert style.count(value) == text
