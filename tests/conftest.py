"""What several tests share."""

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"  # kernels for a graphics card run on the CPU; read when Triton is first imported
os.environ["SENSEI_POKEMON_ROM"] = "brought"  # or else every study with the game would leave it out; no file is read to plan
import torch._dynamo  # before MuJoCo draws: Mesa's LLVM and that of torch's compiler bear each other only in this order
import yaml
from helpers import ROOT

signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell that starts tests in the background has them ignore

# Two workers take a file each: those that last minutes come first, so that neither waits for the other at the end (`make test`).
LONG = (
    "workflow/test_smoke.py",
    "training/test_resume.py",
    "learning/test_toys_are_learned.py",
    "workflow/test_chaos.py",
    "workflow/test_plan.py",
    "kernels/test_limits.py",
    "analysis/test_figures.py",
    "annotators/vlm/openai/test_stops.py",
    "workflow/test_export.py",
    "workflow/test_crashes.py",
    "workflow/test_make.py",
    "workflow/test_second.py",
    "training/test_tracking.py",
    "learning/test_exploration_learns.py",
    "test_examples.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files of `LONG` first, in its order; the others as they were."""
    place = {ROOT / "tests" / name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path, len(LONG)))


@pytest.fixture(scope="session")
def root() -> Path:
    """The checkout."""
    return ROOT


@pytest.fixture(scope="session")
def smoke() -> dict[str, Any]:
    """Content of config/smoke.yaml; copy before you change it."""
    return yaml.safe_load((ROOT / "config" / "smoke.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[..., Path]:
    """Write a study file: smoke.yaml with changes laid over it, section by section."""

    def write(changes: dict[str, Any] | None = None, name: str = "study.yaml", base: str = "smoke") -> Path:
        content = yaml.safe_load((ROOT / "config" / f"{base}.yaml").read_text(encoding="utf-8"))
        for key, value in (changes or {}).items():
            content[key] = {**content[key], **value} if isinstance(value, dict) and isinstance(content.get(key), dict) else value
        path = tmp_path / name
        path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        return path

    return write
