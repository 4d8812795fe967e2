"""A finished study made by stand-ins, so that plans can be asked for in seconds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from helpers import ROOT, snakemake

# Stands in for sensei/__main__.py: writes what the stage would write, at once.
STAND_IN = """
import sys

from sensei.study.layout import Layout
from sensei.study.stage import Job, own_stage
from sensei.study.stages import STAGES

name, *words = sys.argv[1:]
stage = own_stage(words.pop(0)) if name == "run" else STAGES[name]
options = dict(zip((word.removeprefix("--") for word in words[::2]), words[1::2]))
for path in stage.outputs(Layout.of(options["study"]), Job.of(options)).values():
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(name)
"""


@pytest.fixture(scope="session")
def finished_copy(tmp_path_factory) -> Path:
    """A copy of the checkout whose smoke study is complete, made by stand-ins; do not change it, copy it."""
    copy = tmp_path_factory.mktemp("finished") / "checkout"
    copy.mkdir()
    for name in ("sensei", "workflow", "config", "envs"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", copy)
    (copy / "sensei" / "__main__.py").write_text(STAND_IN)
    result = snakemake("--cores", "2", "--configfile", "config/smoke.yaml", cwd=copy)
    assert result.returncode == 0, result.stdout + result.stderr
    return copy


@pytest.fixture
def checkout(finished_copy, tmp_path) -> Path:
    """A finished copy of one's own; dates are kept, so nothing in it is out of date."""
    target = tmp_path / "checkout"
    shutil.copytree(finished_copy, target, symlinks=True)
    return target


@pytest.fixture
def change_study(checkout) -> Callable[..., None]:
    """Lay changes over config/smoke.yaml of the copy."""

    def change(**changes: object) -> None:
        path = checkout / "config" / "smoke.yaml"
        content = yaml.safe_load(path.read_text())
        for key, value in changes.items():
            content[key] = {**content.get(key, {}), **value} if isinstance(value, dict) else value
        path.write_text(yaml.safe_dump(content, sort_keys=False))

    return change
