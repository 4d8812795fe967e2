"""Fingerprints follow the code and nothing else; manifests say what made a file and nothing about the machine's owner."""

import getpass
import json
import os
import shutil
import socket
from pathlib import Path

import pytest

from sensei.core import provenance as manifest
from sensei.core.files import sha256
from sensei.core.provenance import fingerprint
from sensei.study.stages import MODULES

RUNS = '''"""Runs."""


def explore(steps: int) -> int:
    from sensei.agents import dreamer
    return dreamer.act(steps)
'''


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A small package in which `training.runs` imports `agents.dreamer` inside a function, and nothing imports `reward.distil`."""
    folder = tmp_path / "sensei"
    files = {
        "training/runs.py": RUNS,
        "agents/dreamer.py": "from sensei.config import X\n\n\ndef act(steps):\n    return steps + 1\n",
        "agents/__init__.py": "",
        "training/__init__.py": "",
        "reward/distil.py": "LOSS = 1\n",
        "config.py": "X = 1\n",
        "envs/__init__.py": "",
        "envs/minihack.py": "KEY = 1\n",
        "analysis/published/values.csv": "1\n",
        "analysis/published/__init__.py": "",
        "analysis/figures/__init__.py": "",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(manifest, "PACKAGE", folder)
    manifest._read.cache_clear()
    yield folder
    manifest._read.cache_clear()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    manifest._read.cache_clear()


def test_the_c_source_beside_a_module_counts(package):
    (package / "agents" / "dreamer.c").write_text("int one = 1;")
    before = fingerprint("explore"), fingerprint("distil")
    edit(package / "agents" / "dreamer.c", "1", "2")
    assert fingerprint("explore") != before[0] and fingerprint("distil") == before[1]


@pytest.mark.parametrize(
    "old, new",
    [
        ("def explore", "# why\ndef explore"),
        ('"""Runs."""', '"""Better words."""'),
        ('"""Runs."""\n', ""),
        ("steps: int", "steps:int"),
        ("    return dreamer", "\n    return dreamer"),
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(package, old, new):
    before = fingerprint("explore")
    edit(package / "training/runs.py", old, new)
    assert fingerprint("explore") == before


@pytest.mark.parametrize(
    "file, old, new, stages",
    [
        ("training/runs.py", "act(steps)", "act(steps + 1)", {"explore", "learn"}),
        ("agents/dreamer.py", "steps + 1", "steps + 2", {"explore", "learn"}),
        ("envs/minihack.py", "KEY = 1", "KEY = 2", {"explore", "learn"}),
        ("reward/distil.py", "LOSS = 1", "LOSS = 2", {"distil"}),
        ("analysis/published/values.csv", "1", "2", {"figure", "published"}),
        ("config.py", "X = 1", "X = 2", set()),
    ],
)
def test_an_edit_changes_exactly_the_stages_that_depend_on_it(package, file, old, new, stages):
    before = {stage: fingerprint(stage) for stage in MODULES}
    edit(package / file, old, new)
    assert {stage for stage in MODULES if fingerprint(stage) != before[stage]} == stages


def test_every_module_of_the_table_exists():
    for names in MODULES.values():
        for name in names:
            path = manifest.PACKAGE.joinpath(*name.split("."))
            assert path.is_dir() or path.with_suffix(".py").is_file(), name


def test_a_manifest_tells_what_made_the_file_and_not_where(tmp_path):
    source, output = tmp_path / "collect" / "index.parquet", tmp_path / "pairs" / "random.parquet"
    for path in (source, output):
        path.parent.mkdir()
        path.write_bytes(path.name.encode())
    manifest.write_manifests("pairs", [output], [source], {"number": 5}, seed=3, wall_seconds=1.25)
    text = manifest.manifest_path(output).read_text()
    made = json.loads(text)
    assert made["inputs"] == {"../collect/index.parquet": sha256(source)}
    assert made["sha256"] == sha256(output)
    assert (made["stage"], made["seed"], made["settings"], made["code"]) == ("pairs", 3, {"number": 5}, fingerprint("pairs"))
    assert {"torch", "numpy", "nle", "minihack"} <= set(made["packages"])
    for private in (socket.gethostname(), str(tmp_path), str(manifest.PACKAGE.parent), os.path.expanduser("~")):
        assert f'"{private}' not in text and f"{private}/" not in text
    assert f'"{getpass.getuser()}"' not in text


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_outside_a_checkout_there_is_no_commit(package):
    manifest._commit.cache_clear()
    assert manifest._commit() is None
    manifest._commit.cache_clear()
