"""A whole study under random SIGKILLs of jobs, of their workers and of Snakemake itself: one command goes on, and the results are the same.

The slow test kills a few times; `CHAOS_KILLS=100 pytest tests/workflow/test_chaos.py` kills as often as you like.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from fakes.crashing import content
from helpers import command, environment, snakemake

TOYS = Path(__file__).parent.parent / "fakes" / "toys.yaml"
KILLS = int(os.environ.get("CHAOS_KILLS", "25"))
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600 + 30 * KILLS)]
MOMENTS = {"snakemake": "job", "job": "job", "worker": "worker"}  # what is killed: what must be there at that moment
STUDY = ("--cores", "2", "--configfile", TOYS)
RETRIED = ("--retries", "1000")  # a killed job goes on under the same Snakemake, as on a cluster, until that is killed too


def victims(process: subprocess.Popen) -> dict[str, list[psutil.Process]]:
    """What can be killed: Snakemake, jobs, workers."""
    found = {"snakemake": [psutil.Process(process.pid)], "job": [], "worker": []}
    for child in found["snakemake"][0].children(recursive=True):
        try:
            words = child.cmdline()
        except psutil.Error:
            continue
        if "-m" in words and "sensei" in words and "snakemake" not in words:
            found["job"].append(child)
        elif any("sensei.envs.vector.worker" in word for word in words):
            found["worker"].append(child)
    return found


def artefacts(folder: Path) -> dict[str, str]:
    """What the study made, but for its page, which shows wall times."""
    found = content(folder / "results" / "toys")
    return {name: checksum for name, checksum in found.items() if not name.startswith("report.html")}


def test_a_study_that_is_killed_again_and_again_is_the_undisturbed_one(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    result = snakemake(*STUDY, cwd=whole, timeout=900)
    assert result.returncode == 0, result.stdout + result.stderr
    expected = artefacts(whole)
    rng, kills, begun = random.Random(0), Counter(), 0
    while sum(kills.values()) < KILLS:
        begun += 1
        with open(tmp_path / f"snakemake{begun}.log", "wb") as log:
            process = subprocess.Popen(
                command(*STUDY, *RETRIED, cwd=killed), cwd=killed, env=environment(), stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        while process.poll() is None and sum(kills.values()) < KILLS:
            kind = rng.choice(list(MOMENTS))
            while process.poll() is None and not victims(process)[MOMENTS[kind]]:
                time.sleep(0.1)
            time.sleep(rng.uniform(0, 3))
            if process.poll() is None and (chosen := victims(process)[kind]):
                rng.choice(chosen).send_signal(signal.SIGKILL)
                kills[kind] += 1
        if process.poll() == 0:  # it had finished before the kills were used up
            assert artefacts(killed) == expected
            for path in (killed / "results" / "toys").glob("toy_keydoor/*/*/seed0/agent.pt"):
                path.unlink()
        elif sum(kills.values()) >= KILLS and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills["snakemake"] += 1
        process.wait()
    last = snakemake(*STUDY, cwd=killed, timeout=900)
    assert last.returncode == 0, last.stdout + last.stderr
    assert artefacts(killed) == expected
    print(f"{begun} starts; killed {dict(kills)}")
