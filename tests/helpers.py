"""The command line and the workflow as subprocesses without a terminal."""

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASKED_FOR = {"mlflow", "wandb"}  # services that most do without, and forty packages: installed by those who want them, not by `make`


def run_python(*arguments: str | Path, cwd: Path, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    """Run `python arguments` in `cwd` without a terminal."""
    command = [sys.executable, *map(str, arguments)]
    return _run(command, cwd, timeout, environment())


def _run(command: list[str], cwd: Path, timeout: float, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=timeout, env=env, stdin=subprocess.DEVNULL, check=False)


def environment() -> dict[str, str]:
    """The process environment of subprocesses: one thread a process, as the rules ask for, the package importable, and no
    preflight, which has tests of its own."""
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT), "SENSEI_PREFLIGHT": "off"}


def snakemake(*arguments: str | Path, cwd: Path, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    """Run Snakemake on the Snakefile of `cwd`, or of the checkout if it has none, with results in `cwd`."""
    package = cwd if (cwd / "sensei").exists() else ROOT
    return _run(command(*arguments, cwd=cwd), cwd, timeout, environment() | {"PYTHONPATH": str(package)})


def command(*arguments: str | Path, cwd: Path) -> list[str]:
    """The command line behind `snakemake`."""
    base = cwd if (cwd / "Snakefile").exists() else ROOT
    words = ["-m", "snakemake", "--snakefile", base / "Snakefile", "--workflow-profile", base / "workflow" / "profiles" / "workstation"]
    return [sys.executable, *map(str, words), *map(str, arguments)]


def planned(result: subprocess.CompletedProcess[str]) -> dict[str, int]:
    """Jobs by rule of a dry run; empty if there is nothing to do."""
    assert result.returncode == 0, result.stdout + result.stderr
    output = result.stdout + result.stderr
    if "Nothing to be done" in output:
        return {}
    table = output.split("Job stats:")[1].split("total")[0]
    return {rule: int(count) for rule, count in re.findall(r"^(\w+) +(\d+)$", table, re.MULTILINE)}


def planned_commands(result: subprocess.CompletedProcess[str]) -> set[tuple[str, str]]:
    """(stage, its options as text) of every job of a dry run with `-p`; empty if there is nothing to do."""
    assert result.returncode == 0, result.stdout + result.stderr
    found = re.findall(r"python -m sensei ([\w-]+) --study \S+(.*?) >> ", result.stdout + result.stderr)
    return {(stage, options.strip()) for stage, options in found}
