"""What the operating system refuses, in a sentence: a full disk, a folder that may not be written, no memory."""

import errno
import os
import shutil
import signal
import sysconfig
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from sensei.core.errors import MachineError, SenseiError, shortened

FULL = {errno.ENOSPC: "no space is left", errno.EDQUOT: "the quota is used up", errno.EFBIG: "files may not grow that large (`ulimit -f`)"}
# Libraries say it in their own words, without a number; torch only that a write has failed.
FULL_WORDS = (
    "no space left on device",
    "database or disk is full",
    "disk quota exceeded",
    "requested and",  # numpy
    "failed writing file",  # torch
    "iostream error",
)
NO_MEMORY_WORDS = ("out of memory", "can't allocate memory", "cannot allocate memory", "unable to allocate")
REFUSED = {
    errno.EROFS: "it lies on a file system that is read-only",
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.EISDIR: "it is a folder, expected a file",
    errno.ENOTDIR: "a part of the path is a file, expected a folder",
    errno.EEXIST: "it is there already",
    errno.ENOENT: "there is no such file",
    errno.ENAMETOOLONG: "the name is too long",
    errno.ELOOP: "its links lead in a circle",
}
PACKAGE = str(Path(__file__).resolve().parent.parent)
# Where code lies that no study has brought along: ours, Python's, packages'.
KNOWN = (PACKAGE, *(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib", "purelib", "platlib", "scripts")))
SMALL = 2**20  # bytes: a disk with less room counts as full


def explained(error: BaseException) -> SenseiError | None:
    """What a user, a file, the machine or somebody's plugin has to do with an exception, in words; None for one that is our own fault."""
    for cause in _chain(error):
        if isinstance(cause, SenseiError):
            return cause
        if told := _told(cause):
            return told
    return _of_a_plugin(error)


def signal_hint(number: int) -> str:
    """What a process that a signal has ended has probably met."""
    if number == signal.SIGBUS:
        return f"most likely the temporary folder {tempfile.gettempdir()} is full: free space there, or set TMPDIR to another folder"
    if number == signal.SIGKILL:
        return "most likely memory ran out: use fewer workers"
    return "its last words, if any, are above"


def full_disks() -> list[str]:
    """The folders we write to whose disk has no room."""
    folders = {str(Path.cwd()): "the working folder", tempfile.gettempdir(): "the temporary folder"}
    return [f"{what} {folder}" for folder, what in folders.items() if shutil.disk_usage(folder).free < SMALL]


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The exception and those it came from, the first one being the last raised."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or (None if seen.__suppress_context__ else seen.__context__)


def _of_a_plugin(error: BaseException) -> SenseiError | None:
    """The error of a module that a study names and that is not ours; None if it was raised from ours."""
    foreign = [frame for frame in traceback.extract_tb(error.__traceback__)[1:] if not frame.filename.startswith(("<", *KNOWN))]
    if not foreign:
        return None
    where = f"{foreign[-1].filename}, line {foreign[-1].lineno}, in {foreign[-1].name}"
    return SenseiError(
        f"{where}: {type(error).__name__}", found=shortened(error) or None, hint="mend that file: it is none of this package"
    )


def _told(error: BaseException) -> SenseiError | None:
    text, number = str(error).lower(), getattr(error, "errno", None)
    if number in FULL or any(words in text for words in FULL_WORDS):
        return _full(error, FULL.get(number, FULL[errno.ENOSPC]))
    if isinstance(error, MemoryError) or number == errno.ENOMEM or any(words in text for words in NO_MEMORY_WORDS):
        hint = "give the job more memory, or a smaller `training.batch_size`, `world_model.size` or fewer workers"
        return MachineError("memory ran out", found=shortened(error) or type(error).__name__, hint=hint)
    if not isinstance(error, OSError):
        return _without_package(error)
    if number in (errno.EMFILE, errno.ENFILE):
        return MachineError("too many files are open", found=error, hint="raise the limit: `ulimit -n 4096`")
    if number == errno.EIO:
        return MachineError("a disk or its network fails", found=error, hint="run again when it works: what is complete is kept")
    if number in REFUSED and error.filename is not None:
        return MachineError(f"{os.fspath(error.filename)} cannot be used: {REFUSED[number]}")
    return None


def _full(error: BaseException, reason: str) -> SenseiError:
    place = getattr(error, "filename", None) or " and ".join(full_disks())
    what = f"the disk is full: {reason}{f' at {place}' if place else ''}"
    return MachineError(what, hint="free some and run again: what is complete is kept, what was being written is not there")


def _without_package(error: BaseException) -> SenseiError | None:
    if not isinstance(error, ModuleNotFoundError) or error.name is None or error.name.partition(".")[0] == "sensei":
        return None
    return MachineError(f"the Python module {error.name} is not installed", hint="pip install -r requirements.lock")
