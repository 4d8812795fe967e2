"""What made this file: a `*.manifest.json` beside every artefact, and the fingerprint of the code behind it."""

import ast
import functools
import hashlib
import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from sensei.core.files import sha256, write_json

PACKAGE = Path(__file__).resolve().parent.parent
# Their effect on a result is in its settings, which are compared by value; an edit to a description must not re-make a study.
NOT_CODE = ("sensei.study", "sensei.core.errors", "sensei.core.messages", "sensei.core.provenance", "sensei.core.process")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
PACKAGES = (
    "torch",
    "numpy",
    "gymnasium",
    "nle",
    "minihack",
    "minigrid",
    "robodesk",
    "mujoco",
    "stable-baselines3",
    "pandas",
    "pyarrow",
    "open_clip_torch",
    "transformers",
    "matplotlib",
    "snakemake",
)


def fingerprint(roots: Iterable[str]) -> str:
    """Hash of the code behind `roots`, modules of the package: syntax trees without docstrings, imports followed inside the package.

    Comments, docstrings and formatting do not change it. Files other than Python in the folder of a module that counts (C source, tables,
    templates) count with their bytes. What a registry imports by name is not followed: it has to be among the roots.
    """
    files: dict[str, str] = {}
    for root in roots:
        assert _source(root) is not None, f"there is no module {root}"
        _follow(root, files)
    return hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:16]


def _follow(module: str, files: dict[str, str]) -> None:
    """Add `module`, the data beside it and all that it imports inside the package to `files` (name -> hash)."""
    if module in files or module.startswith(NOT_CODE) or (path := _source(module)) is None:
        return
    files[module], imports = _read(path, module)
    for file in path.parent.iterdir():
        if file.is_file() and file.suffix not in (".py", ".pyc"):
            files[str(file.relative_to(PACKAGE))] = sha256(file)
    for name in imports:
        _follow(name, files)


def _source(module: str) -> Path | None:
    """The file of `module`, None if the name is no module of the package (but, say, a function)."""
    path = PACKAGE.joinpath(*module.split(".")[1:])
    return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)


@functools.cache
def _read(path: Path, module: str) -> tuple[str, tuple[str, ...]]:
    """(hash of the syntax tree, names imported from the package) of one file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = tuple(dict.fromkeys(_imports(tree, module)))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _imports(tree: ast.Module, module: str) -> Iterator[str]:
    """Modules of the package that `tree` imports anywhere, packages above them included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: relative imports escape the fingerprint"
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            if name.startswith("sensei."):
                parts = name.split(".")
                yield from (".".join(parts[:length]) for length in range(2, len(parts) + 1))


def write_manifests(
    stage: str,
    outputs: list[Path],
    inputs: list[Path],
    settings: dict[str, Any],
    seed: int | None,
    wall_seconds: float,
    code: str | None = None,
) -> None:
    """Write `{output}.manifest.json` beside each of `outputs`; paths in it are relative to the output's folder."""
    made = {
        "stage": stage,
        "settings": settings,
        "seed": seed,
        "code": code,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "hardware": hardware(),
        "wall_seconds": round(wall_seconds, 1),
    }
    hashes = {path: sha256(path) for path in inputs}
    for output in outputs:
        named = {Path(os.path.relpath(path, output.parent)).as_posix(): value for path, value in hashes.items()}
        write_json(manifest_path(output), {"output": output.name, "sha256": sha256(output), "inputs": named, **made})


def manifest_path(output: str | Path) -> Path:
    """Where the manifest of `output` is."""
    return Path(f"{output}.manifest.json")


def package_versions(packages: Iterable[str] = PACKAGES) -> dict[str, str]:
    """Version of each package that is installed."""
    versions = {}
    for package in packages:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue  # a software environment per rule holds only what the rule needs
    return versions


def hardware() -> dict[str, Any]:
    """Processor family, system, cores of this process, and, once torch is imported, its threads and graphics card."""
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "threads": torch.get_num_threads() if torch is not None else None,
        "gpu": torch.cuda.get_device_name() if cuda else None,
    }


@functools.cache
def _commit() -> str | None:
    """Commit of the checkout, with `+` if tracked files were changed since; None outside a checkout."""
    git = ["git", "-C", str(PACKAGE.parent)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain", "--untracked-files=no"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed.strip() else "")
