"""`python -m sensei make`: a study made and watched, on toys; in a terminal, without one, with a job that fails, interrupted."""

import contextlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from helpers import ROOT, environment, run_python

from sensei.cli.make import failures
from sensei.core import faults
from sensei.core.yaml import read_yaml

MAKE = ("-m", "sensei", "make", "study.yaml", "--cores", "2")
BREAKING = """
from sensei.envs.toy import KeyDoor
class Breaking(KeyDoor):
    def _advance(self, action):
        raise RuntimeError("the lever broke")
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def written(folder: Path, **changes: object) -> None:
    """The toys without a semantic reward: few jobs."""
    study = read_yaml(ROOT / "tests" / "fakes" / "toys.yaml")
    study |= {"explore": ["random"], "learn": ["ppo"], "figures": ["learn"], "collector": None, "annotators": []} | changes
    (folder / "study.yaml").write_text(yaml.safe_dump({key: value for key, value in study.items() if value not in (None, [])}))


def in_a_terminal(folder: Path) -> tuple[int, str]:
    """Run it before a terminal of 200 columns; its exit code and all that it showed."""
    leader, follower = pty.openpty()
    shown = environment() | {"COLUMNS": "200", "LINES": "60", "TERM": "xterm"}
    process = subprocess.Popen([sys.executable, *MAKE], cwd=folder, env=shown, stdin=follower, stdout=follower, stderr=follower)
    os.close(follower)
    said = b""
    with contextlib.suppress(OSError):  # the end of a terminal
        while part := os.read(leader, 65536):
            said += part
    os.close(leader)
    return process.wait(), said.decode()


def test_a_study_says_what_it_will_do_shows_how_far_it_is_and_where_its_page_is(tmp_path):
    written(tmp_path)
    code, shown = in_a_terminal(tmp_path)
    assert code == 0, shown
    assert "Plan of study toys: 6 of 6 jobs" in shown and "at the end on one page: results/toys/report.html" in shown
    assert "1 of 1" in shown and re.search(r"done in 0:0\d:\d\d: results/toys/report.html", shown)
    assert (tmp_path / "results/toys/report.html").exists()
    assert "7 of 7 steps (100%) done" in (tmp_path / "results/toys/snakemake.log").read_text()
    again = run_python(*MAKE, cwd=tmp_path)
    assert again.returncode == 0 and "Study toys is finished" in again.stdout and "study toys: 6 of 6 jobs done\n" in again.stdout
    assert not (again.stderr or "\x1b" in again.stdout)


def test_what_failed_is_said_at_the_end_with_the_last_lines_of_its_log(tmp_path):
    (tmp_path / "breaking.py").write_text(BREAKING)
    family = {"environment": {"family": "breaking:Breaking"}}
    written(tmp_path, per_environment={"toy_keydoor": family})
    made = run_python(*MAKE, cwd=tmp_path)
    assert made.returncode == 1 and "study toys: 0 of 6 jobs done" in made.stdout
    said = made.stderr.splitlines()
    at = said.index("explore failed: results/toys/toy_keydoor/explore/random/seed0/explore.log")
    assert any("the lever broke" in line for line in said[at + 1 : at + 4])
    assert "learn failed: results/toys/toy_keydoor/learn/keydoor/ppo/seed0/learn.log" in said and len(said) <= 8


def test_a_study_that_cannot_begin_says_so_in_snakemakes_words(tmp_path):
    written(tmp_path)
    refused = run_python(*MAKE, "--no-such-option", cwd=tmp_path)
    assert refused.returncode == 2 and "unrecognized arguments: --no-such-option" in refused.stderr
    unknown = run_python("-m", "sensei", "make", "foo", cwd=tmp_path)
    assert unknown.returncode == 2 and unknown.stderr.startswith("Error: there is no study foo: expected one of config, ")


def test_ctrl_c_ends_everything_and_the_same_command_goes_on(tmp_path):
    written(tmp_path)
    process = subprocess.Popen(
        [sys.executable, *MAKE], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    begun = tmp_path / "results/toys/toy_keydoor/learn/keydoor/ppo/seed0/learn.log"
    while not (begun.exists() and "started" in begun.read_text()):
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.1)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode not in (0, None) and b"Traceback" not in said, said
    assert said.endswith(b"stopped by SIGINT: the same command goes on\n") and b"failed" not in said
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    again = run_python(*MAKE, cwd=tmp_path, timeout=300)
    assert again.returncode == 0, again.stdout + again.stderr


def test_failures_are_jobs_with_their_logs_else_an_error_else_the_last_words(tmp_path, monkeypatch):
    log = tmp_path / "explore.log"
    log.write_text("begins\n\nError: the disk is full\n-> make room\n")
    block = f"Error in rule explore:\n    message: x\n    jobid: 3\n    output: a\n    log: {log} (check log file(s) for error details)\n"
    assert failures(f"Job 3\n{block}\n{block}Shutting down") == [
        f"explore failed: {log}",
        "    begins",
        "    Error: the disk is full",
        "    -> make room",
    ]
    assert failures("Building\nError: study lacks:\n* a key\n") == ["Error: study lacks:", "* a key"]
    assert failures("\n".join(map(str, range(100)))) == [str(number) for number in range(80, 100)]
    assert failures("short") == ["short"]
    assert failures("\n") == ["Error: Snakemake ended without a word"]
    monkeypatch.setattr(faults, "SMALL", 2**80)
    assert re.fullmatch("Error: .* without a word: no room is left in the working folder .* and the temporary folder .*", failures("")[0])
