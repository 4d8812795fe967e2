"""YAML as people write it: no word but true and false is a boolean, and no key stands twice."""

import pytest

from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml


def test_only_true_and_false_are_booleans(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("a: off\nb: on\nc: yes\nd: no\ne: true\nf: False\ng: y\nn: null\ni: 3\nx: [off, true]\non: 1\n")
    words = {"a": "off", "b": "on", "c": "yes", "d": "no", "g": "y"}
    assert read_yaml(path) == words | {"e": True, "f": False, "n": None, "i": 3, "x": ["off", True], "on": 1}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "top:\n  a: 1\n  a: 1\n"])
def test_a_key_that_stands_twice_is_refused_in_one_line(tmp_path, text):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    with pytest.raises(SenseiError, match="the key a stands twice.*line 3") as refused:
        read_yaml(path)
    assert "study.yaml" in str(refused.value)


def test_keys_may_come_from_elsewhere_and_be_overridden(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  a: 3\n")
    assert read_yaml(path)["other"] == {"a": 3, "b": 2}
