"""What a question is known by."""

import numpy as np
from fakes.questions import QUESTION

from sensei.annotators.questions import picture_hash


def test_a_picture_is_known_by_pixels_and_shape():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert picture_hash(image) == picture_hash(np.asfortranarray(image))
    assert picture_hash(image) != picture_hash(image.reshape(2, 8, 3))
    assert picture_hash(image) != picture_hash(image + 1)


def test_the_key_of_a_question_stays_what_it_was():
    """Answers that were bought are found by it: another key would buy them again."""
    assert QUESTION.key == "edb26a0f240b2e4773f962fd3b25188853251fd397b98220131f0a27744b0cb4"
