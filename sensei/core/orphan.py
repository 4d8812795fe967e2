"""Jobs end with the Snakemake that began them.

It is SIGKILL that leaves jobs without their Snakemake. The next one makes their outputs again in any case, from the last checkpoint
where there is one; a job that went on would only keep it from doing so. Jobs of a cluster are not Snakemake's children and go on.
"""

import logging
import os
import signal
import socket
import threading
import time

import psutil

VARIABLE = "SENSEI_SNAKEMAKE"  # in the environment of jobs: the Snakemakes above them, outermost first
WATCH_SECONDS, GRACE_SECONDS = 1.0, 5.0


def let_jobs_end_with_me() -> None:
    """Name this process to those that it begins."""
    me = psutil.Process()
    os.environ[VARIABLE] = ";".join([*filter(None, [os.environ.get(VARIABLE)]), f"{_place()} {me.pid} {me.create_time()}"])


def end_with_snakemake() -> None:
    """Watch the Snakemakes above this process, and stop as by SIGTERM when one is gone; without one do nothing."""
    entries = [entry.rsplit(" ", 2) for entry in os.environ.get(VARIABLE, "").split(";") if entry]
    above = [(int(process), float(started)) for place, process, started in entries if place == _place()]
    if above:
        threading.Thread(target=_watch, args=(above,), daemon=True).start()


def _watch(above: list[tuple[int, float]]) -> None:
    while all(_works(*process) for process in above):
        time.sleep(WATCH_SECONDS)
    logging.getLogger("sensei").warning("Snakemake is gone")
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGKILL)


def _place() -> str:
    """Where process numbers mean something: a machine, and there a job of SLURM's."""
    return f"{socket.gethostname()} {os.environ.get('SLURM_JOB_ID', '-')}"


def _works(process: int, started: float) -> bool:
    try:
        found = psutil.Process(process)
        return found.create_time() == started and found.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
