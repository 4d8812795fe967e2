"""Whether a file is still what its manifest says: every stage asks before it reads."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from sensei.core.errors import SenseiError
from sensei.core.files import read_json, sha256

MANIFEST = ".manifest.json"
SHOWN = 12  # digits of a SHA-256 in a message


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of all that a manifest says but for this."""
    said = {key: value for key, value in content.items() if key != "checksum"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def verified(path: Path, recorded: bool = True) -> str:
    """The SHA-256 of a file that is what its manifest says.

    Args:
        recorded: whether it must have a manifest that calls it by its place; files that people bring may have none, or another's.

    Raises:
        SenseiError: it is not, its manifest is damaged, or there is none.
    """
    found = sha256(path)
    if recorded or _manifest(path).exists():
        made = _read(path)
        if recorded and not f"/{path.absolute().as_posix()}".endswith(f"/{made['output']}"):
            raise SenseiError(f"{_manifest(path)} is of another file", found=made["output"], expected=path.name, hint=_remedy(path))
        _compare(path, found, made["sha256"], made["stage"], path)
    return found


def verify_folder(folder: Path, index: Path) -> None:
    """Check that a folder, with those below it, holds what the manifest of `index` says, and nothing else; hidden files do not count.

    Raises:
        SenseiError: a file is damaged, missing, or not of these.
    """
    made = _read(index)
    if _earlier(made):
        return
    ours = {path for name in made["files"] if (path := index.parent / name).is_relative_to(folder)}
    if lacking := sorted(path for path in ours if not path.exists()):
        raise SenseiError(f"there is no {lacking[0]}, which stage {made['stage']} wrote", hint=_remedy(index))
    if strange := [path for path in files_below(folder) if path not in ours]:
        raise SenseiError(f"{strange[0]} is not of stage {made['stage']}, which wrote its folder", hint=f"move {strange[0].name} away")
    for path in sorted(ours):
        _compare(path, sha256(path), made["files"][path.relative_to(index.parent).as_posix()], made["stage"], index)


def files_below(folder: Path) -> list[Path]:
    """The files of a folder and of those below it, in order, but for hidden ones."""
    return sorted(path for path in folder.rglob("*") if path.is_file() and not path.name.startswith("."))


def recorded_inputs(path: Path) -> set[Path] | None:
    """The files that a file was made of; None where no whole manifest says it."""
    try:
        return {Path(os.path.normpath(path.parent / name)) for name in _read(path)["inputs"]}
    except (SenseiError, KeyError, TypeError):
        return None


def thinned(index: Path, kept: set[Path]) -> dict[str, Any]:
    """What the manifest of `index` says, if of the files in its folders only those in `kept` are there; it says how many are not.

    Raises:
        SenseiError: there is none, or it is damaged.
    """
    made = _read(index)
    files = {name: digest for name, digest in made["files"].items() if index.parent / name in kept}
    content = made | {"files": files, "left_out": made.get("left_out", 0) + len(made["files"]) - len(files)}
    return content | {"checksum": checksum(content)}


def _compare(path: Path, found: str, expected: str, stage: str, index: Path) -> None:
    if found != expected:
        digests = {"found": f"SHA-256 {found[:SHOWN]}...", "expected": f"{expected[:SHOWN]}..."}
        raise SenseiError(f"{path} is damaged, or not what stage {stage} wrote", **digests, hint=_remedy(index))


def _read(path: Path) -> dict[str, Any]:
    """What the manifest of a file says of it.

    Raises:
        SenseiError: there is none, or it is damaged.
    """
    manifest = _manifest(path)
    if not manifest.exists():
        raise SenseiError(f"{path} has no manifest to check it by", expected=manifest, hint=_remedy(path))
    try:
        made = read_json(manifest)
        whole = _earlier(made) or made["checksum"] == checksum(made)
        whole = whole and all(isinstance(made[key], str) for key in ("output", "sha256", "stage"))
    except (SenseiError, AttributeError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise SenseiError(f"{manifest} is damaged", hint=_remedy(path))
    return made


def _earlier(made: dict[str, Any]) -> bool:
    """Whether an earlier version wrote a manifest: it vouches for its output, and neither for a folder nor for itself."""
    return not {"files", "checksum"} & made.keys()


def _manifest(path: Path) -> Path:
    return Path(f"{path}{MANIFEST}")


def _remedy(path: Path) -> str:
    return f"put back a copy, or delete {path}: `snakemake` makes it again"
