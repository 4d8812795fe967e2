"""Locks: one process at a time, released by death, and a sentence for whoever comes second."""

import errno
import fcntl
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from helpers import environment

from sensei.core import locks
from sensei.core.errors import SenseiError
from sensei.core.locks import held
from sensei.core.orphan import VARIABLE
from sensei.core.process import SIGTERM_EXIT

HOLDER = """
import sys, time
from sensei.core.locks import held
from sensei.core.orphan import VARIABLE
from sensei.core.process import SIGTERM_EXIT
with held(sys.argv[1], "the run"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """A process that holds `tmp_path`/.lock."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / ".lock")]
    process = subprocess.Popen(command, env=environment(), stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.3)


def test_the_second_is_told_who_holds_it(tmp_path, holder, impatient):
    with (
        pytest.raises(SenseiError, match=rf"the run is under way: process {holder.pid} on \S+ since \d{{4}}-") as error,
        held(tmp_path / ".lock", "the run"),
    ):
        pass
    assert len(str(error.value).splitlines()) == 2


def test_a_killed_holder_holds_nothing(tmp_path, holder, impatient):
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    assert (tmp_path / ".lock").exists()
    with held(tmp_path / ".lock", "the run"):
        pass
    assert not list(tmp_path.iterdir())


def test_who_comes_while_the_holder_ends_gets_it(tmp_path, holder):
    os.kill(holder.pid, signal.SIGSTOP)
    os.kill(holder.pid, signal.SIGKILL)
    with held(tmp_path / ".lock", "the run"):
        assert (tmp_path / ".lock").exists()


def test_processes_that_compete_never_hold_it_together(tmp_path):
    code = """
import os, sys, time
from sensei.core import locks
locks.PATIENCE, locks.POLL = 60, 0.001
for _ in range(20):
    with locks.held("lock", "it"):
        descriptor = os.open("inside", os.O_CREAT | os.O_EXCL)
        os.close(descriptor)
        time.sleep(0.001)
        os.unlink("inside")
"""
    processes = [subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, env=environment()) for _ in range(4)]
    assert [process.wait(timeout=100) for process in processes] == [0] * 4
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_is_refused(tmp_path, monkeypatch, number):
    """As Lustre is without the option flock, or NFS without its lock daemon."""

    def refuse(descriptor, operation):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(SenseiError, match=r"(?s)cannot lock .*flock") as error, held(tmp_path / ".lock", "the run"):
        pass
    assert len(str(error.value).splitlines()) == 2


STAGE = """
import sys, time
from pathlib import Path
from sensei.core.process import stage
output = Path("made/output.txt")
with stage("make", inputs=[], outputs=[output]):
    print("began", flush=True)
    time.sleep(float(sys.argv[1]))
    output.write_text("whole")
"""


def begin(folder, seconds: float) -> subprocess.Popen:
    command = [sys.executable, "-c", STAGE, str(seconds)]
    return subprocess.Popen(command, cwd=folder, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_a_stage_is_not_carried_out_twice_at_once(tmp_path):
    first = begin(tmp_path, 60)
    assert first.stdout.readline() == "began\n"
    _, errors = begin(tmp_path, 0).communicate(timeout=60)
    assert f"stage make of made/output.txt is under way: process {first.pid}" in errors
    assert not (tmp_path / "made" / "output.txt").exists()
    first.kill()
    first.communicate()
    third = begin(tmp_path, 0)
    assert third.communicate(timeout=60) and third.returncode == 0
    assert sorted(path.name for path in (tmp_path / "made").iterdir()) == ["output.txt", "output.txt.manifest.json"]


def test_what_a_killed_stage_left_half_written_goes_and_nothing_else_does(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    for name in (f".output.txt.{'0' * 32}.txt", f".output.txt.manifest.json.{'1' * 32}.txt.manifest.json"):
        (made / name).write_text("hal")
    kept = {f".other.txt.{'0' * 32}.txt", ".output.txt.lines", "output.txt.old", f"output.txt.{'0' * 32}.txt"}
    for name in kept:
        (made / name).write_text("another's")
    assert begin(tmp_path, 0).wait(timeout=60) == 0
    assert {path.name for path in made.iterdir()} == kept | {"output.txt", "output.txt.manifest.json"}


def test_a_job_that_lost_its_snakemake_before_it_looked_ends_too(tmp_path):
    gone = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    entry = f"{socket.gethostname()} - {gone.pid} {psutil.Process(gone.pid).create_time()}"
    gone.kill()
    gone.wait()
    settings = {name: value for name, value in environment().items() if name != "SLURM_JOB_ID"} | {VARIABLE: entry}
    command = [sys.executable, "-c", STAGE, "60"]
    job = subprocess.run(command, cwd=tmp_path, env=settings, capture_output=True, text=True, timeout=60, check=False)
    assert job.returncode == SIGTERM_EXIT and "Snakemake is gone" in job.stderr
    elsewhere = settings | {VARIABLE: entry.replace(" - ", " 17 ")}
    assert subprocess.run([*command[:-1], "0"], cwd=tmp_path, env=elsewhere, capture_output=True, check=False).returncode == 0


def test_a_job_ends_with_its_snakemake(tmp_path):
    """SIGKILL leaves Snakemake no time to end its jobs."""
    stands_in = """
import subprocess, sys
from sensei.core.orphan import let_jobs_end_with_me
let_jobs_end_with_me()
subprocess.run([sys.executable, "-c", sys.argv[1], "60"])
"""
    command = [sys.executable, "-c", stands_in, STAGE]
    above = subprocess.Popen(command, cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert above.stdout.readline() == "began\n"
    (job,) = psutil.Process(above.pid).children()
    above.kill()
    above.wait()
    psutil.wait_procs([job], timeout=20)
    assert not job.is_running()
    above.stdout.close()
    assert not list((tmp_path / "made").iterdir())
