"""What made this file: a `*.manifest.json` beside every artefact, and the fingerprint of the code behind it."""

import ast
import functools
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from sensei.core.files import sha256, write_json
from sensei.core.machine import COMPUTED_WITH
from sensei.core.verification import MANIFEST, checksum, files_below

PACKAGE = Path(__file__).resolve().parent.parent
CONFIG = PACKAGE.parent / "config"
OURS = "sensei"
INSTRUCTION_SETS = {"avx512f": "AVX-512", "avx2": "AVX2", "asimd": "NEON"}  # flag of the processor -> its name, the widest first
# Their effect on a result is in its settings, which are compared by value; an edit to a description must not re-make a study.
NOT_CODE = (
    "sensei.study",
    "sensei.core.errors",
    "sensei.core.faults",
    "sensei.core.messages",
    "sensei.core.orphan",
    "sensei.core.provenance",
    "sensei.core.process",
    "sensei.core.verification",
)
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


def fingerprint(roots: Iterable[str], facts: Iterable[str] = ()) -> str:
    """Hash of the code behind modules: syntax trees without docstrings, imports followed inside their own packages and ours.

    Comments, docstrings, descriptions of options and formatting do not change it. Files other than Python in the folder of a module of ours
    that counts (C source, tables, templates) count with their bytes. What a registry finds by name is not followed: it has to be among the
    roots.

    Args:
        facts: modules of which only what they import at the top counts: classes that are asked what they say of themselves.
    """
    return hashlib.sha256(repr(sorted(closure(roots, facts).items())).encode()).hexdigest()[:16]


def closure(roots: Iterable[str], facts: Iterable[str] = ()) -> dict[str, str]:
    """What `fingerprint` hashes: module, or file beside it -> hash."""
    files: dict[str, str] = {}
    for follow, modules in ((_everything, roots), (_at_the_top, facts)):
        for root in modules:
            assert _source(root) is not None, f"there is no module {root}"
            for name in _with_packages(root):
                _follow(name, files, (OURS, root.partition(".")[0]), follow)
    return files


def _follow(module: str, files: dict[str, str], packages: tuple[str, ...], follow: Callable[[ast.Module], Iterable[ast.AST]]) -> None:
    """Add `module`, the data beside it and all that it imports inside `packages` to `files`."""
    if module in (OURS, *files) or module.startswith(NOT_CODE) or (path := _source(module)) is None:
        return
    files[module], imports = _read(path, module, follow)
    if path.is_relative_to(PACKAGE):
        for file in path.parent.iterdir():
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                files[str(file.relative_to(PACKAGE))] = sha256(file)
    for name in imports:
        if name.partition(".")[0] in packages:
            _follow(name, files, packages, follow)


def _everything(tree: ast.Module) -> Iterable[ast.AST]:
    """Where imports count: anywhere."""
    return ast.walk(tree)


def _at_the_top(tree: ast.Module) -> Iterable[ast.AST]:
    """Where imports count: outside of functions and classes."""
    return tree.body


def _source(module: str) -> Path | None:
    """The file of `module`, None if the name is no module (but, say, a function)."""
    if module.partition(".")[0] == OURS:
        path = PACKAGE.joinpath(*module.split(".")[1:])
        return next((file for file in (path / "__init__.py", path.with_suffix(".py")) if file.is_file()), None)
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    return Path(found.origin) if found and found.origin else None


@functools.cache
def _read(path: Path, module: str, follow: Callable[[ast.Module], Iterable[ast.AST]]) -> tuple[str, tuple[str, ...]]:
    """(hash of the syntax tree, names imported) of one file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imports = tuple(dict.fromkeys(_imports(follow(tree), module)))
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            del node.body[0]
        elif isinstance(node, ast.Call):  # nor does what an option is called in words
            node.keywords = [keyword for keyword in node.keywords if keyword.arg != "description"]
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest(), imports


def _imports(nodes: Iterable[ast.AST], module: str) -> Iterator[str]:
    """Modules that statements of `module` import, packages above them included."""
    for node in nodes:
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = module.rsplit(".", node.level)[0] if node.level else ""
            origin = ".".join(part for part in (above, node.module) if part)
            names = [origin, *(f"{origin}.{alias.name}" for alias in node.names)]
        else:
            continue
        for name in names:
            yield from _with_packages(name)


def _with_packages(module: str) -> Iterator[str]:
    """The packages above a module, which Python imports before it, and the module."""
    parts = module.split(".")
    return (".".join(parts[:length]) for length in range(1, len(parts) + 1))


def write_manifests(
    stage: str,
    outputs: list[Path],
    inputs: dict[Path, str],
    settings: dict[str, Any],
    seed: int | None,
    wall_seconds: float,
    code: str | None = None,
    folders: dict[Path, Path] | None = None,
    kept: dict[Path, Path] | None = None,
    root: Path | None = None,
) -> None:
    """Write `{output}.manifest.json` beside each of `outputs`; `sensei.core.verification` reads them.

    Paths in it are relative to the output's folder; those of files that belong to the project itself (prompts) to the project.

    Args:
        inputs: file that was read -> its SHA-256.
        folders: folder -> the input that names the files that were read in it.
        kept: folder that was written besides -> the output whose manifest vouches for its files.
        root: the folder of the study; an output in it is called by its place there.
    """
    made = {
        "stage": stage,
        "settings": settings,
        "seed": seed,
        "code": code,
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "hardware": hardware(),
        "compiler": compiler(),
        "computed_with": dict(COMPUTED_WITH),
        "wall_seconds": round(wall_seconds, 1),
    }
    for output in outputs:
        named = {_named(path, output): value for path, value in inputs.items()}
        within = {_named(folder, output): _named(index, output) for folder, index in (folders or {}).items()}
        beside = [folder for folder, index in (kept or {}).items() if index == output]
        files = {_named(path, output): sha256(path) for folder in beside for path in files_below(folder)}
        place = output.relative_to(root).as_posix() if root and output.is_relative_to(root) else output.name
        content = {"output": place, "sha256": sha256(output), "files": files, "inputs": named, "folders": within, **made}
        write_json(Path(f"{output}{MANIFEST}"), content | {"checksum": checksum(content)})


def _named(path: Path, output: Path) -> str:
    """How the manifest of `output` calls a file."""
    full = path.resolve()
    if full.is_relative_to(CONFIG):
        return full.relative_to(CONFIG.parent).as_posix()
    return Path(os.path.relpath(path, output.parent)).as_posix()


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
    """Processor family, system, cores of this process, and, once torch is imported, its threads and its GPU."""
    torch = sys.modules.get("torch")
    cuda = torch is not None and torch.cuda.is_available()
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "instruction_set": instruction_set(),
        "threads": torch.get_num_threads() if torch is not None else None,
        "gpu": torch.cuda.get_device_name() if cuda else None,
    }


@functools.cache
def instruction_set() -> str | None:
    """The widest vectors of this processor: AVX-512, AVX2, NEON; None where they are not known."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return "NEON" if platform.machine() in ("arm64", "aarch64") else None
    flags = {flag for line in lines if line.startswith(("flags", "Features")) for flag in line.split()}
    return next((name for flag, name in INSTRUCTION_SETS.items() if flag in flags), None)


@functools.cache
def compiler() -> str | None:
    """What the C compiler on the PATH says of itself; None without one."""
    found = os.environ.get("CC") or next(filter(shutil.which, ("cc", "gcc", "clang")), None)
    try:
        return subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0] if found else None
    except (OSError, subprocess.CalledProcessError, IndexError):
        return None


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
