"""Whether a file is still what its manifest says: every stage asks before it reads."""

import hashlib
import json
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
        recorded: whether it must have a manifest; files that people bring may have none.

    Raises:
        SenseiError: it is not, its manifest is damaged, or there is none.
    """
    found = sha256(path)
    if recorded or _manifest(path).exists():
        _compare(path, found, (made := _read(path))["sha256"], made["stage"], path)
    return found


def verify_folder(folder: Path, index: Path) -> None:
    """Check that a folder holds what the manifest of `index` says, and nothing else; hidden files do not count.

    Raises:
        SenseiError: a file is damaged, missing, or not of these.
    """
    made = _read(index)
    if "files" not in made:
        return  # an earlier version wrote it
    ours = {path for name in made["files"] if (path := index.parent / name).parent == folder}
    if lacking := sorted(path for path in ours if not path.exists()):
        raise SenseiError(f"there is no {lacking[0]}, which stage {made['stage']} wrote", hint=_remedy(index))
    if strange := sorted(path for path in folder.iterdir() if not path.name.startswith(".") and path not in ours):
        raise SenseiError(f"{strange[0]} is not of stage {made['stage']}, which wrote its folder", hint=f"move {strange[0].name} away")
    for path in sorted(ours):
        _compare(path, sha256(path), made["files"][path.relative_to(index.parent).as_posix()], made["stage"], index)


def _compare(path: Path, found: str, expected: str, stage: str, index: Path) -> None:
    if found != expected:
        digests = {"found": f"SHA-256 {found[:SHOWN]}...", "expected": f"{expected[:SHOWN]}..."}
        raise SenseiError(f"{path} is damaged, or not what stage {stage} wrote", **digests, hint=_remedy(index))


def _read(path: Path) -> dict[str, Any]:
    """What the manifest of a file says of it.

    Raises:
        SenseiError: there is none, it is damaged, or it is another file's.
    """
    manifest = _manifest(path)
    if not manifest.exists():
        raise SenseiError(f"{path} has no manifest to check it by", expected=manifest, hint=_remedy(path))
    try:
        made = read_json(manifest)
        whole = made["output"] == path.name and made.get("checksum", checksum(made)) == checksum(made)
        whole = whole and isinstance(made["sha256"], str) and isinstance(made["stage"], str)
    except (SenseiError, AttributeError, KeyError, TypeError, RecursionError):
        whole = False
    if not whole:
        raise SenseiError(f"{manifest} is damaged, or not of {path.name}", hint=_remedy(path))
    return made


def _manifest(path: Path) -> Path:
    return Path(f"{path}{MANIFEST}")


def _remedy(path: Path) -> str:
    return f"put back a copy, or delete {path}: `snakemake` makes it again"
