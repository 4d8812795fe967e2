"""Who works on what: a locked file beside the results.

The kernel drops the lock with its holder, whatever ends it; what is in the file is only for the message to whoever comes second.
"""

import atexit
import contextlib
import datetime
import json
import logging
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from sensei.core.errors import SenseiError
from sensei.core.files import writing

PATIENCE = 10.0  # seconds, for what a killed process leaves to end
POLL = 0.1
log = logging.getLogger("sensei.locks")


@contextlib.contextmanager
def held(path: str | Path, what: str) -> Iterator[None]:
    """Hold the lock `path` while the block runs.

    Works on a network file system as well, if that has locks (`flock`).

    Args:
        what: what the message calls that which only one process may do.

    Raises:
        SenseiError: another process holds it, or the file system has no locks.
    """
    path = Path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path, fallback_to_soft=False, preserve_lock_file=True, poll_interval=POLL)
    try:
        lock.acquire(timeout=PATIENCE)
    except Timeout:
        raise SenseiError(f"{what} is under way: {_holder(path)}", hint="wait until it has ended, or end it; then run again") from None
    except OSError as error:
        hint = "put the results on a file system with `flock` (NFS 4; Lustre mounted with flock): without it two processes could mix"
        raise SenseiError(f"cannot lock {path}", found=error.strerror, hint=hint) from error
    try:
        with writing(path):
            path.write_text(json.dumps(_me()), encoding="utf-8")
        yield
    finally:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)  # while it is held: whoever has opened it meanwhile finds it gone and begins anew
        lock.release()


def hold(path: str | Path, what: str) -> None:
    """Hold the lock until this process ends; otherwise as `held`."""
    stack = contextlib.ExitStack()
    stack.enter_context(held(path, what))
    atexit.register(stack.close)


def _me() -> dict[str, object]:
    return {"host": socket.gethostname(), "process": os.getpid(), "since": datetime.datetime.now().isoformat(" ", "seconds")}


def _holder(path: Path) -> str:
    """What a lock's file says of its holder, in words."""
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        return f"process {holder['process']} on {holder['host']} since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "by a process that has not said who it is"
