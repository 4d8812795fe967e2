"""Which GPU a process computes on: at most `runs_per_gpu` of our processes share one.

Every place on a GPU is a file that its holder has locked. The kernel drops the lock with the process, whatever ends it, so no
place is ever lost. A scheduler that hands out GPUs (`CUDA_VISIBLE_DEVICES`) is followed: only those are shared out.
"""

import fcntl
import logging
import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sensei.core.errors import MachineError, SenseiError, mistakes

POLL_SECONDS = 1.0
log = logging.getLogger("sensei.training")


@contextmanager
def place_on_gpu(device: str, runs_per_gpu: int) -> Iterator[None]:
    """Hold a place on a GPU, waiting for one if need be; nothing else of the machine is visible to CUDA in the block.

    Does nothing where the run computes on the CPU. Must come before CUDA is initialised in this process.
    """
    gpus = [] if device == "cpu" else visible_gpus()
    if not gpus:
        yield
        return
    name, place = _wait_for_place(gpus, runs_per_gpu)
    before = os.environ.get("CUDA_VISIBLE_DEVICES")
    os.environ["CUDA_VISIBLE_DEVICES"] = name
    try:
        with place:
            log.info("computing on GPU %s", name)
            yield
    finally:
        if before is None:
            del os.environ["CUDA_VISIBLE_DEVICES"]
        else:
            os.environ["CUDA_VISIBLE_DEVICES"] = before


def device_of(wanted: str) -> str:
    """`cpu` or `cuda` for `auto`: a GPU if there is one; else what is wanted.

    Raises:
        MachineError: a GPU is wanted, and there is none that PyTorch can use.
    """
    import torch

    available = torch.cuda.is_available()
    if wanted == "cuda" and not available:
        found = "a PyTorch built without CUDA" if torch.version.cuda is None else "no GPU that its driver offers"
        raise MachineError("`device: cuda` needs a GPU", found=found, hint="set `device: auto` or `device: cpu`, or run it where a GPU is")
    return ("cuda" if available else "cpu") if wanted == "auto" else wanted


def missing_gpu(wanted: str) -> list[SenseiError]:
    """The error of `device_of` in a list, empty without one; PyTorch is imported only if a GPU is wanted."""
    return mistakes(device_of, wanted) if wanted == "cuda" else []


def visible_gpus() -> list[str]:
    """Names of the GPUs this process may use, as `CUDA_VISIBLE_DEVICES` has them."""
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1")]
    import torch

    return [str(index) for index in range(torch.cuda.device_count())]  # asks the driver, initialises nothing


def _wait_for_place(gpus: list[str], runs_per_gpu: int) -> tuple[str, IO[str]]:
    """The first free place, GPUs with fewer runs first: its GPU and the locked file."""
    folder, waiting = _folder(), False
    while True:
        for place in range(runs_per_gpu):
            for name in gpus:
                if file := _lock(folder / f"{name.replace('/', '-')}.{place}"):
                    return name, file
        if not waiting:
            log.info("waiting: every GPU has %d of our runs", runs_per_gpu)
        waiting = True
        time.sleep(POLL_SECONDS)


def _folder() -> Path:
    """Where the places of this machine are; a SLURM job has its own, because the numbers of its GPUs are its own."""
    job = os.environ.get("SLURM_JOB_ID")
    folder = Path(tempfile.gettempdir()) / f"sensei-gpus-{os.getuid()}{f'-{job}' if job else ''}"
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder


def _lock(path: Path) -> IO[str] | None:
    """The file, locked for as long as it is open; None if another process has it."""
    file = open(path, "w", encoding="utf-8")  # noqa: SIM115
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file
