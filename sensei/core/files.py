"""Files that are either whole or absent: every artefact is written beside its place and renamed into it."""

import contextlib
import errno
import hashlib
import json
import os
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

from sensei.core.errors import SenseiError

TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.\w+)*")


@contextlib.contextmanager
def atomic(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; rename it to `path` on success, remove it on failure.

    File and folder are flushed to disk around the rename, so that neither `kill -9` nor a power cut leaves half of it. What a kill leaves
    is a temporary file, which `remove_temporaries` knows by its name.

    Raises:
        OSError: the system cannot write it (full disk, quota, rights).
    """
    path = Path(path)
    temporary = temporary_of(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            with open(temporary, "rb+") as file:
                os.fsync(file.fileno())
            os.replace(temporary, path)
            flush_folder(path.parent)
        finally:
            with contextlib.suppress(OSError):  # what made it fail is what counts
                temporary.unlink(missing_ok=True)


@contextlib.contextmanager
def writing(path: str | Path) -> Iterator[None]:
    """Let an error of the system that names no file, as that of a write to an open one, name `path` (`core.faults` says the rest)."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise


def temporary_of(path: Path) -> Path:
    """A new name beside `path`, which tells what it is to become and ends with the same suffixes (writers choose the format by them)."""
    return path.with_name(f".{path.name}.{uuid.uuid4().hex}{''.join(path.suffixes)}")


def remove_temporaries(*places: Path) -> None:
    """Delete what killed writers left of `places`: of a file, its own temporaries; of a folder, all that lie in it.

    Only for whoever holds the lock of those who write there.
    """
    for place in places:
        folder, start = (place, ".") if place.is_dir() else (place.parent, f".{place.name}.")
        for path in folder.iterdir() if folder.is_dir() else ():
            if path.name.startswith(start) and TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)


def flush_folder(folder: Path) -> None:
    """Let new names and deletions in `folder` reach the disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # some network file systems flush no folders
            raise
    finally:
        os.close(descriptor)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, atomically."""
    with atomic(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: object) -> None:
    """Write `value` as indented JSON, atomically."""
    write_text(path, json_text(value))


def json_text(value: object) -> str:
    """`value` as the JSON files of the project have it."""
    return json.dumps(value, indent=2, sort_keys=True) + "\n"


def read_json(path: str | Path) -> object:
    """Read a JSON file; a damaged one is an error that names it."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise SenseiError(f"{path} is damaged", found=error, expected="JSON", hint=f"delete {path} and run again") from error


def sha256(path: str | Path, size: int | None = None) -> str:
    """Hex digest of a file's content, or of its first `size` bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() if size is None else hashlib.sha256(file.read(size)).hexdigest()
