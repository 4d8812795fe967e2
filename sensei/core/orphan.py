"""A job ends with the Snakemake that began it.

It is SIGKILL that leaves jobs without their Snakemake. The next one makes their outputs again in any case, from the last checkpoint
where there is one; a job that went on would only keep it from doing so.
"""

import logging
import os
import signal
import threading
import time
from pathlib import Path

import psutil

WATCH_SECONDS = 1.0


def end_with_snakemake() -> None:
    """Watch every Snakemake that this process descends from, and stop as by SIGTERM when one is gone; without one do nothing."""
    above = [process for process in psutil.Process().parents() if _is_snakemake(process)]
    if above:
        threading.Thread(target=_watch, args=(above,), daemon=True).start()


def _watch(above: list[psutil.Process]) -> None:
    while all(map(_works, above)):
        time.sleep(WATCH_SECONDS)
    logging.getLogger("sensei").warning("Snakemake is gone")
    os.kill(os.getpid(), signal.SIGTERM)


def _is_snakemake(process: psutil.Process) -> bool:
    """Whether it is `snakemake` or `python -m snakemake`."""
    try:
        return "snakemake" in [Path(word).name for word in process.cmdline()[:4]]
    except psutil.Error:
        return False


def _works(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
