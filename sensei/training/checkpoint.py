"""Checkpoints: one file, written whole or not at all, refused if it belongs to another run, useless without all that it refers to.

The state of a run is the file `state.pt` and, beside it, parts that the file names with size and checksum. A state whose parts are not
what they were is no state.
"""

import io
import pickle
import re
import struct
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import torch

from sensei.core.errors import SenseiError
from sensei.core.files import atomic, flush_folder, sha256, writing
from sensei.study.layout import RunFiles

# What reading a zip file with wrong bytes in it can raise.
DAMAGE = (OSError, EOFError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error, struct.error, pickle.UnpicklingError)


def save(path: Path, state: dict[str, Any]) -> None:
    """Write `state` (tensors, arrays, numbers, text and containers of them) atomically."""
    content = io.BytesIO()  # into a file of its own, torch writes the name of that file
    torch.save(state, content)
    with atomic(path) as temporary:
        temporary.write_bytes(content.getbuffer())


def plain(value: Any) -> Any:
    """The same, but equal content is saved as equal bytes: pickle writes once what is shared, and resumed runs share other objects."""
    if isinstance(value, dict):
        return {plain(key): plain(part) for key, part in value.items()}
    if isinstance(value, list):
        return [plain(part) for part in value]
    if isinstance(value, tuple):
        return tuple(plain(part) for part in value)
    return sys.intern(value) if isinstance(value, str) else value


def load(source: Path | IO[bytes], device: str = "cpu", arrays: bool = False, name: str | None = None) -> dict[str, Any]:
    """Read a checkpoint; a damaged file is an error that names it.

    Args:
        arrays: the file also holds numpy arrays and named tuples (the state of our own run). Without it only tensors and plain
            values are accepted, so that an agent from elsewhere cannot run code.
        name: what messages call the file.
    """
    path = name or source
    try:
        with zipfile.ZipFile(source) as file:  # torch itself does not compare the checksums
            if packed := [entry.filename for entry in file.infolist() if entry.compress_type != zipfile.ZIP_STORED]:
                raise zipfile.BadZipFile(f"{packed[0]} is compressed, which torch never does")
            if broken := file.testzip():
                raise zipfile.BadZipFile(f"wrong checksum of {broken}")
        if not isinstance(source, Path):
            source.seek(0)
        return torch.load(source, map_location=device, weights_only=not arrays)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no checkpoint {path}") from error
    except DAMAGE as error:
        found = " ".join(_of_pickle(str(error)).split())[:200] or type(error).__name__
        raise SenseiError(f"checkpoint {path} is damaged", found=found, hint=f"delete {path} and run again") from error


def _of_pickle(said: str) -> str:
    """What is wrong with a file, without torch's advice to read it in spite of that."""
    named = re.search(r"GLOBAL (\S+) ", said)
    return f"it would carry out {named[1]}" if named else said.partition("In PyTorch 2.6")[0]


def check_run(path: Path, saved: dict[str, Any], wanted: dict[str, Any]) -> None:
    """Raise if a checkpoint belongs to a run with another description, listing the first few values that differ."""
    saved, wanted = dict(_flat(saved)), dict(_flat(wanted))
    differing = [key for key in sorted({*saved, *wanted}) if saved.get(key) != wanted.get(key)]
    if differing:
        keys = ", ".join(f"{key} ({saved.get(key)} -> {wanted.get(key)})" for key in differing[:5])
        raise SenseiError(f"checkpoint {path} belongs to another configuration: {keys}", hint=f"delete {path.parent} to start the run anew")


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flat(part, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def part(path: Path, *, grows: bool = False) -> dict[str, Any]:
    """What a file is at this moment.

    Args:
        grows: more may be appended to it later, which a resumed run cuts off.
    """
    return {"size": path.stat().st_size, "sha256": sha256(path), "grows": grows}


def fault(folder: Path, parts: dict[str, dict[str, Any]]) -> str | None:
    """Which of the parts (path below `folder` -> `part`) is not what it was, in words; None if all are."""
    for name, saved in parts.items():
        path, size = folder / name, saved["size"]
        if not path.is_file():
            return f"there is no {path}"
        found = path.stat().st_size
        if found < size or (found > size and not saved["grows"]):
            return f"{path} has {found} bytes, not {size}"
        if sha256(path, size) != saved["sha256"]:
            return f"{path} has another checksum"
    return None


def forget(files: RunFiles) -> None:
    """Delete the state, before anything that it refers to: what is left is no state."""
    with writing(files.state):
        if files.state.exists():
            files.state.unlink()
            flush_folder(files.checkpoint)
