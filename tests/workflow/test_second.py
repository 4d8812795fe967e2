"""Two Snakemakes in one checkout: the same study only once at a time, and neither touches what protects the other."""

import subprocess
import time

import pytest
from helpers import command, environment, snakemake

from sensei.core import locks
from sensei.core.locks import held

SMOKE = ("--cores", "1", "--configfile", "config/smoke.yaml")


def test_the_second_on_a_study_is_told_who_makes_it(checkout):
    (checkout / "results" / "smoke" / "report.html").unlink()
    with held(checkout / "results" / "smoke" / ".snakemake.lock", "the making"):
        result = snakemake(*SMOKE, cwd=checkout)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert "the making of results/smoke is under way: process " in output and "Traceback" not in output
    assert not (checkout / "results" / "smoke" / "report.html").exists()
    assert snakemake(*SMOKE, cwd=checkout).returncode == 0
    assert (checkout / "results" / "smoke" / "report.html").exists()


STAND_IN_THAT_WAITS = """
import sys, time
from pathlib import Path
page = Path("results/smoke/report.html")
Path("begun").touch()
while not Path("go").exists():
    time.sleep(0.05)
page.write_text("report")
"""


@pytest.fixture
def first(checkout):
    """A Snakemake whose job waits for the file `go`."""
    (checkout / "results" / "smoke" / "report.html").unlink()
    (checkout / "sensei" / "__main__.py").write_text(STAND_IN_THAT_WAITS)
    settings, silent = environment() | {"PYTHONPATH": str(checkout)}, subprocess.DEVNULL
    process = subprocess.Popen(command(*SMOKE, cwd=checkout), cwd=checkout, env=settings, stdin=silent, stdout=silent, stderr=silent)
    while not (checkout / "begun").exists():
        assert process.poll() is None
        time.sleep(0.05)
    yield process
    (checkout / "go").touch()
    process.wait()


def test_what_ends_first_leaves_the_other_its_lock(checkout, first, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.2)
    assert snakemake("published", "-n", "--cores", "1", cwd=checkout).returncode == 0
    refused = snakemake(*SMOKE, cwd=checkout)
    assert refused.returncode != 0 and f"process {first.pid}" in refused.stdout + refused.stderr
    again = snakemake(*SMOKE, cwd=checkout)
    assert again.returncode != 0 and f"process {first.pid}" in again.stdout + again.stderr
    (checkout / "go").touch()
    assert first.wait() == 0


def test_after_a_kill_the_same_command_goes_on(checkout, first):
    first.kill()
    first.wait()
    (checkout / "go").touch()
    result = snakemake(*SMOKE, cwd=checkout)
    assert result.returncode == 0, result.stdout + result.stderr
    assert (checkout / "results" / "smoke" / "report.html").exists()
