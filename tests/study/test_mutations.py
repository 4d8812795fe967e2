"""Studies with a mistake, of a thousand kinds: each is refused in a few lines, or means what its text says."""

import gzip
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import run_python

from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.study.models.file import SETTINGS_KEYS
from sensei.study.models.study import Study

COUNT = 250
ODD = [
    *["no", "yes", "off", "y", "~", "", "true", "True", "010", "0x1F", "0o17", "1:30", "2024-01-01", "1_000", "1_0", "1e3", "1e400", "-1"],
    *["0", "1", "2.0", ".nan", "-.inf", "1" * 30, "1" * 5000, "1000000000", "'1'", '"true"', "''", "word", "[]", "[0]", "[[0]]", "{}"],
    *["{a: 1}", "&a 1", "*a", "!!int 1", "!!binary eA==", "!!python/name:os.system ''", "<<", "@", "%", "|", "> x", "? x", "- x", "a: b"],
    *["# x", "../up", "/root", "a;b", "-x", "é", "\u2028", "\x00", "\t", "\ufeff", "x" * 5000, "[" * 200, "{a: " * 200, "oracle", "random"],
]
VALUE = re.compile(r"(?<=[:,\[] )[^\s,\[\]{}#]+|(?<=\[)[^\s,\[\]{}#]+")
KEY = re.compile(r"[\w.-]+(?=:)")


def lines_lost(text: str, rng: np.random.Generator) -> str:
    """Some lines are not there."""
    lines = text.splitlines(keepends=True)
    here = int(rng.integers(len(lines)))
    return "".join(lines[:here] + lines[here + int(rng.integers(1, 4)) :])


def lines_twice(text: str, rng: np.random.Generator) -> str:
    """Some lines are there once more, somewhere."""
    lines = text.splitlines(keepends=True)
    here, there = (int(line) for line in rng.integers(len(lines), size=2))
    return "".join(lines[:there] + lines[here : here + int(rng.integers(1, 6))] + lines[there:])


def line_moved(text: str, rng: np.random.Generator) -> str:
    """A line begins elsewhere."""
    lines = text.splitlines(keepends=True)
    here = int(rng.integers(len(lines)))
    lines[here] = " " * int(rng.integers(5)) + lines[here].lstrip(" ")
    return "".join(lines)


def odd_value(text: str, rng: np.random.Generator) -> str:
    """A value is another."""
    found = list(VALUE.finditer(text))
    match = found[rng.integers(len(found))]
    return text[: match.start()] + ODD[rng.integers(len(ODD))] + text[match.end() :]


def another_value(text: str, rng: np.random.Generator) -> str:
    """A value is one from elsewhere in the file."""
    found = list(VALUE.finditer(text))
    match, other = found[rng.integers(len(found))], found[rng.integers(len(found))]
    return text[: match.start()] + other.group() + text[match.end() :]


def another_key(text: str, rng: np.random.Generator) -> str:
    """A key is one from elsewhere in the file, or has another letter."""
    found = list(KEY.finditer(text))
    match, other = found[rng.integers(len(found))], found[rng.integers(len(found))].group()
    return text[: match.start()] + (other if rng.integers(2) else match.group()[:-1] + "q") + text[match.end() :]


def letters(text: str, rng: np.random.Generator) -> str:
    """A few letters are others, or lost."""
    here, lost = int(rng.integers(len(text))), int(rng.integers(3))
    return text[:here] + "".join(chr(code) for code in rng.integers(1, 128, size=rng.integers(3))) + text[here + lost :]


def cut(text: str, rng: np.random.Generator) -> str:
    """The end is missing."""
    return text[: rng.integers(len(text))]


MUTATIONS: tuple[Callable[[str, np.random.Generator], str], ...]
MUTATIONS = lines_lost, lines_twice, line_moved, odd_value, odd_value, another_value, another_key, letters, cut


def mutants(count: int) -> Iterator[tuple[str, bytes]]:
    """(what was done, content) of mutated studies; of every sixteenth a bit is flipped instead."""
    rng = np.random.default_rng(0)
    texts = [re.sub(r"(?m)^# .*\n", "", path.read_text()) for path in sorted(CONFIG_FOLDER.glob("*.yaml"))]
    for number in range(count):
        text, mutation = texts[number % len(texts)], MUTATIONS[rng.integers(len(MUTATIONS))]
        content = bytearray(mutation(text, rng).encode())
        if number % 16 == 15:
            content = bytearray(text.encode())
            content[rng.integers(len(content))] ^= 1 << int(rng.integers(8))
        yield ("flip" if number % 16 == 15 else mutation.__name__), bytes(content)


def as_written(read: Any, text: Any) -> bool:
    """Whether what was read of a file is its text, which `text` holds as text only: the reader that knows no types."""
    if isinstance(read, dict):
        return isinstance(text, dict) and list(read) == list(text) and all(as_written(read[key], text[key]) for key in read)
    if isinstance(read, list):
        return isinstance(text, list) and len(read) == len(text) and all(map(as_written, read, text))
    if isinstance(read, bool) or read is None:
        return text.lower() in ({True: ["true"], False: ["false"], None: ["", "~", "null"]}[read])
    if isinstance(read, int | float):
        return read == float(text.replace("_", "")) and re.match(r"[-+]?(0\d|\d+:)", text) is None
    return read == text


def parts(value: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """(keys, value) of everything in nested mappings that is no mapping."""
    if isinstance(value, dict):
        for key, part in value.items():
            yield from parts(part, (*above, key))
    else:
        yield above, value


def is_told(study: Study, content: dict[str, Any]) -> bool:
    """Whether a study has, value by value and type by type, what its file says."""
    resolved = study.model_dump(mode="json")
    for name in study.environments:
        own = content.get("per_environment", {}).get(name, {})
        for section in (*SETTINGS_KEYS, "environment"):
            told = dict(parts(content.get(section, {}))) | dict(parts(own.get(section, {})))
            for keys, value in told.items():
                found = resolved["settings"][name][section]
                for key in keys:
                    found = found[key]
                if found != value or isinstance(found, bool) != isinstance(value, bool) or isinstance(found, str) != isinstance(value, str):
                    return False
    return all(resolved[key] == value for key, value in content.items() if key not in (*SETTINGS_KEYS, "per_environment"))


def outcome(path: Path) -> str:
    """What happens to a study: `refused` as promised, `accepted` as it says, or what is wrong."""
    began = time.process_time()
    try:
        study = load_study(path)
    except SenseiError as error:
        lines = str(error).splitlines()
        fault = len(lines) > 5 or max(map(len, lines)) > 1000 or str(path) not in lines[0] and "config/" not in lines[0]
        return "not as promised: " + str(error) if fault or time.process_time() - began > 10 else "refused"
    content = read_yaml(path)
    if not as_written(content, yaml.load(path.read_text(), yaml.BaseLoader)):
        return "read as something else"
    return "accepted" if is_told(study, content) else "made into something else"


@pytest.mark.slow
def test_a_mutated_study_is_refused_or_means_what_it_says(tmp_path):
    outcomes = Counter()
    for number, (mutation, content) in enumerate(mutants(COUNT)):
        path = tmp_path / f"{mutation}{number}.yaml"
        path.write_bytes(content)
        found = outcome(path)
        assert found in ("refused", "accepted"), f"{path}: {found}"
        outcomes[found] += 1
    assert min(outcomes["refused"], outcomes["accepted"]) > COUNT // 10, outcomes


def test_no_study_at_all_ends_with_2_and_writes_nothing(tmp_path, root):
    picture, folder, zipped = root / "docs" / "images" / "learn.png", tmp_path / "folder.yaml", tmp_path / "zipped.yaml"
    folder.mkdir()
    zipped.write_bytes(gzip.compress(b"study: a\n"))
    for path, word in ((picture, "no text"), (folder, "is a folder"), (zipped, "no text")):
        result = run_python("-m", "sensei", "study", path, tmp_path / "out" / "study.yaml", cwd=tmp_path)
        assert result.returncode == 2 and len(result.stderr.splitlines()) <= 5 and word in result.stderr, result.stderr
    assert not (tmp_path / "out").exists()
