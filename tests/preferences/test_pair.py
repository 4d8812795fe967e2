"""The words of annotation: codes of labels, and what they are in the pair's own order."""

import numpy as np
import pytest

from sensei.preferences.pair import Label, Reply, compare, soft_label


def test_labels_follow_the_published_coding():
    assert [int(label) for label in Label] == [0, 1, 2, 3]
    assert [label.name for label in Label] == ["FIRST", "SECOND", "TIE", "UNKNOWN"]
    assert compare(np.array([2, 1, 3, 0]), np.array([1, 2, 3, 0])).tolist() == [0, 1, 2, 3]
    assert soft_label(np.array([0, 1, 2])).tolist() == [0, 1, 0.5]
    with pytest.raises(AssertionError):
        soft_label(np.array([3]))


def test_an_answer_turns_with_the_sides():
    assert [Reply(0, True, "", label).label for label in Label] == [Label.SECOND, Label.FIRST, Label.TIE, Label.UNKNOWN]
    assert [Reply(0, False, "", label).label for label in Label] == list(Label)
    assert Reply(0, True, "", None, "timed out").label is None
