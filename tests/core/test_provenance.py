"""Fingerprints follow the code and nothing else; manifests say what made a file and nothing about the machine's owner."""

import getpass
import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from sensei.core import provenance
from sensei.core.files import sha256
from sensei.core.provenance import closure, fingerprint, instruction_set, write_manifests
from sensei.study.layout import manifest_of

RUNS = '''"""Runs."""
OPTION = dict(description="in words", default=1)


def explore(steps: int) -> int:
    from sensei.agents import dreamer
    return dreamer.act(steps)
'''
ROOTS = {
    "explore": ["sensei.training.runs", "sensei.envs.maze"],
    "distil": ["sensei.reward.distil"],
    "figure": ["sensei.analysis.figures.one"],
}


@pytest.fixture
def package(tmp_path, monkeypatch) -> Path:
    """A small package in which `training.runs` imports `agents.dreamer` inside a function, and nothing imports `reward.distil`."""
    folder = tmp_path / "sensei"
    files = {
        "training/runs.py": RUNS,
        "agents/dreamer.py": "from sensei.study.models import X\n\n\ndef act(steps):\n    return steps + 1\n",
        "agents/dreamer.c": "int one = 1;",
        "agents/ppo.py": "RATIO = 1\n",
        "reward/distil.py": "LOSS = 1\n",
        "study/models.py": "X = 1\n",
        "envs/maze.py": "KEY = 1\n",
        "envs/desk.py": "KEY = 1\n",
        "analysis/published/values.csv": "1\n",
        "analysis/figures/one.py": "from sensei.analysis import published\n",
        "__init__.py": "version = 1\n",
    }
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
        for above in (folder / name).relative_to(folder).parents:
            (folder / above / "__init__.py").touch()
    monkeypatch.setattr(provenance, "PACKAGE", folder)
    provenance._read.cache_clear()
    yield folder
    provenance._read.cache_clear()


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    provenance._read.cache_clear()


@pytest.mark.parametrize(
    "old, new",
    [
        ("def explore", "# why\ndef explore"),
        ('"""Runs."""', '"""Better words."""'),
        ('"""Runs."""\n', ""),
        ("steps: int", "steps:int"),
        ('description="in words"', 'description="in other words"'),
        ("    return dreamer", "\n    return dreamer"),
    ],
)
def test_comments_docstrings_and_formatting_change_nothing(package, old, new):
    before = fingerprint(ROOTS["explore"])
    edit(package / "training/runs.py", old, new)
    assert fingerprint(ROOTS["explore"]) == before


@pytest.mark.parametrize(
    "file, old, new, stages",
    [
        ("training/runs.py", "act(steps)", "act(steps + 1)", {"explore"}),
        ("agents/dreamer.py", "steps + 1", "steps + 2", {"explore"}),
        ("agents/dreamer.c", "1", "2", {"explore"}),
        ("agents/ppo.py", "RATIO = 1", "RATIO = 2", set()),
        ("envs/maze.py", "KEY = 1", "KEY = 2", {"explore"}),
        ("envs/desk.py", "KEY = 1", "KEY = 2", set()),
        ("reward/distil.py", "LOSS = 1", "LOSS = 2", {"distil"}),
        ("analysis/published/values.csv", "1", "2", {"figure"}),
        ("study/models.py", "X = 1", "X = 2", set()),
        ("__init__.py", "version = 1", "version = 2", set()),
    ],
)
def test_an_edit_changes_exactly_the_stages_that_depend_on_it(package, file, old, new, stages):
    before = {stage: fingerprint(roots) for stage, roots in ROOTS.items()}
    edit(package / file, old, new)
    assert {stage for stage, roots in ROOTS.items() if fingerprint(roots) != before[stage]} == stages


def test_of_facts_only_what_is_imported_at_the_top_counts(package):
    (package / "envs/maze.py").write_text("from sensei.envs import desk\n\n\ndef begin():\n    from sensei.agents import ppo\n")
    provenance._read.cache_clear()
    assert {"sensei.envs.maze", "sensei.envs.desk"} <= set(closure([], ["sensei.envs.maze"]))
    assert "sensei.agents.ppo" in closure(["sensei.envs.maze"]) and "sensei.agents.ppo" not in closure([], ["sensei.envs.maze"])


def test_a_module_of_another_repository_counts_with_what_it_imports_there(package, tmp_path, monkeypatch):
    theirs = tmp_path / "elsewhere" / "theirs"
    theirs.mkdir(parents=True)
    (theirs / "__init__.py").touch()
    (theirs / "source.py").write_text("from theirs import helper\nfrom . import near\nfrom sensei.reward import distil\n")
    for name in ("helper", "near"):
        (theirs / f"{name}.py").write_text("ONE = 1\n")
    monkeypatch.syspath_prepend(str(theirs.parent))
    for file, old in ((theirs / "helper.py", "1"), (theirs / "near.py", "1"), (package / "reward/distil.py", "1")):
        before = fingerprint(["theirs.source"])
        edit(file, old, "2")
        assert fingerprint(["theirs.source"]) != before
    assert "theirs" not in sys.modules or sys.modules["theirs"].__file__, "a fingerprint imports nothing but packages"


def test_a_manifest_tells_what_made_the_file_and_not_where(tmp_path):
    source, output = tmp_path / "collect" / "index.parquet", tmp_path / "pairs" / "random.parquet"
    for path in (source, output):
        path.parent.mkdir()
        path.write_bytes(path.name.encode())
    folders = {source.parent / "episodes": source}
    read = {source: sha256(source)}
    write_manifests("pairs", [output], read, {"number": 5}, seed=3, wall_seconds=1.25, code="0123", folders=folders)
    text = manifest_of(output).read_text()
    made = json.loads(text)
    assert made["inputs"] == {"../collect/index.parquet": sha256(source)}
    assert made["folders"] == {"../collect/episodes": "../collect/index.parquet"}
    assert made["sha256"] == sha256(output)
    assert (made["stage"], made["seed"], made["settings"], made["code"]) == ("pairs", 3, {"number": 5}, "0123")
    assert {"torch", "numpy", "nle", "minihack"} <= set(made["packages"])
    assert made["hardware"]["instruction_set"] == instruction_set()
    assert shutil.which("cc") is None or made["compiler"]
    for private in (socket.gethostname(), str(tmp_path), str(provenance.PACKAGE.parent), os.path.expanduser("~")):
        assert f'"{private}' not in text and f"{private}/" not in text
    assert f'"{getpass.getuser()}"' not in text


def test_files_of_the_project_are_named_from_its_top(tmp_path):
    output = tmp_path / "labels.jsonl"
    output.write_text("")
    prompt = provenance.CONFIG / "prompts" / "general.md"
    write_manifests("annotate", [output], {prompt: sha256(prompt)}, {}, None, 0.0)
    assert json.loads(manifest_of(output).read_text())["inputs"] == {"config/prompts/general.md": sha256(prompt)}


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_outside_a_checkout_there_is_no_commit(package):
    provenance._commit.cache_clear()
    assert provenance._commit() is None
    provenance._commit.cache_clear()
