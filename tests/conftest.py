"""What several tests share."""

import os
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
