"""The coding of answers."""

from sensei.preferences.pair import Label


def test_label_coding_is_the_published_one():
    assert [label.value for label in (Label.FIRST, Label.SECOND, Label.TIE, Label.UNKNOWN)] == [0, 1, 2, 3]
