"""YAML as people write it: a word is a word, a key stands once, what is no such file is refused in one line, and nothing takes long."""

import gzip
import os
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.core.yaml import LARGEST, dump_yaml, line_of, parse_yaml, read_yaml, typed

SCALARS = st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4))
WORDS = ["off", "on", "yes", "no", "y", "n", "010", "0x1F", "0o17", "0b1", "1:30", "1:30:00", "2024-01-01", "1_00", "1__0", "=", "08"]
NUMBERS = {"3": 3, "-1_000": -1000, "1e-4": 1e-4, "5e5": 5e5, "1.0e-3": 1e-3, ".5": 0.5, "+0": 0, "1.": 1.0}
BOMB = "a: &a [1, 1, 1, 1, 1, 1, 1, 1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join(['*' + before] * 9)}]\n" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def refused(path: Path, content: str | bytes, *words: str) -> None:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    began = time.process_time()
    with pytest.raises(SenseiError) as caught:
        read_yaml(path)
    lines = str(caught.value).splitlines()
    assert time.process_time() - began < 5
    assert str(path) in lines[0] and len(lines) <= 2 and max(map(len, lines)) < 400 + len(str(path))
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("word", WORDS)
def test_a_word_is_text_in_a_value_and_in_a_key(word):
    assert parse_yaml(f"{{a: {word}, {word}: [{word}]}}", "a text") == {"a": word, word: [word]}
    assert yaml.safe_load(dump_yaml({"a": word})) == {"a": word}, "other readers of what we write see a word too"


def test_numbers_booleans_and_null_are_those_of_yaml_1_2():
    read = parse_yaml("\n".join(f"- {text}" for text in NUMBERS), "a text")
    assert read == list(NUMBERS.values()) and [type(value) for value in read] == [type(value) for value in NUMBERS.values()]
    assert parse_yaml("[true, False, null, ~, '1', \"true\"]", "a text") == [True, False, None, None, "1", "true"]


def test_a_value_without_types_is_given_them():
    given = {"seeds": ["0", "1"], "training": {"train_ratio": "1e2", "compile": "off", "corrected": "true"}, "<<": "<<", "n": 3}
    assert typed(given) == {
        "seeds": [0, 1],
        "training": {"train_ratio": 100.0, "compile": "off", "corrected": True},
        "<<": "<<",
        "n": 3,
    }


@given(VALUES)
def test_what_is_written_is_read_as_the_same(value):
    assert parse_yaml(dump_yaml({"value": value}), "a text") == {"value": value}


@pytest.mark.parametrize("text", ["a: 1\nb: 2\na: 3\n", "top:\n  a: 1\n  a: 1\n", "1: x\nb: 2\n'1': y\n", "x:\n- {b: 1,\n   b: 1}\n"])
def test_a_key_that_stands_twice_is_refused_with_its_line(tmp_path, text):
    refused(tmp_path / "study.yaml", text, "stands twice", "line 3")


def test_keys_may_come_from_elsewhere_and_be_overridden(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("base: &base {a: 1, b: 2}\nother:\n  <<: *base\n  a: 3\nx: {y: &y {<<: {p: 2}, p: 1}}\nz: {<<: *y}\n")
    assert read_yaml(path)["other"] == {"a": 3, "b": 2}
    assert read_yaml(path)["z"] == {"p": 1}


@pytest.mark.parametrize("tag", ["!!binary", "!!timestamp", "!!int", "!!bool", "!!set", "!!python/name:os.system", "!own", "!"])
def test_tags_are_refused(tmp_path, tag):
    refused(tmp_path / "study.yaml", f"a: 1\nb: {tag} x\n", "line 2", "tag")


@pytest.mark.parametrize(
    "text, word",
    [
        (BOMB, "20000 values"),
        ("a: &a {b: *a}\n", "inside what it repeats"),
        ("[" * 5000, "nested"),
        ("- " * 5000 + "x", "nested"),
        ("{a: " * 5000, "nested"),
        ("? " * 5000, "nested"),
        ("\n".join(" " * depth + "a:" for depth in range(600)), "nested"),
        ("a: [" + "1," * 50_000 + "]", "20000 values"),
        ("a: '" + "x" * LARGEST + "'", "too large"),
        ("[1]: 2\n", "as a key"),
        ("a: 1\n---\nb: 2\n", "single document"),
        ("seeds: [0\n", "line 2"),
        ("a: 1\n\tb: 2\n", "line 2"),
        ("", "nothing"),
        ("- 1\n", "list"),
        ("just words", "just words"),
        ("a: \x07\n", "U+0007"),
    ],
)
def test_bombs_and_broken_text_are_refused_at_once(tmp_path, text, word):
    refused(tmp_path / "study.yaml", text, word)


def test_what_is_no_text_is_refused(tmp_path, root):
    refused(tmp_path / "a.yaml", gzip.compress(b"study: a\n"), "UTF-8")
    refused(tmp_path / "b.yaml", next((root / "docs" / "images").rglob("*.png")).read_bytes(), "UTF-8")
    refused(tmp_path / "c.yaml", "study: é\n".encode("latin-1"), "0xE9")
    refused(tmp_path / "d.yaml", "study: a\n".encode("utf-16"), "UTF-8")
    with pytest.raises(SenseiError, match="is a folder"):
        read_yaml(tmp_path)
    with pytest.raises(SenseiError, match="there is no file"):
        read_yaml(tmp_path / "absent.yaml")
    with pytest.raises(SenseiError, match="cannot be read: found File name too long"):
        read_yaml(tmp_path / ("long" * 100))


def test_a_pipe_that_nobody_writes_into_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "study.yaml")
    with pytest.raises(SenseiError, match="is a pipe or a device"):
        read_yaml(tmp_path / "study.yaml")


def test_the_line_of_a_value(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text(
        "study: a\ntraining:\n  workers: 2\n  steps: 3\nper_environment:\n  room:\n    training: {steps: 4, device: cpu}\nseeds: [0,\n 1]\n"
    )
    assert line_of(path, ("training", "workers"), 2) == 3
    assert line_of(path, ("training", "device"), "cpu") == 7, "what is laid over all environments may stand below one"
    assert [line_of(path, ("training", "steps"), steps) for steps in (3, 4, 5)] == [4, 7, None]
    assert line_of(path, ("training",), {"steps": 4, "device": "cpu"}) == 7
    assert line_of(path, ("seeds", 1), 1) == 9
    assert line_of(path, (), 1) is line_of(path, ("none",), 1) is line_of(tmp_path / "absent.yaml", ("a",), 1) is None
