"""A study made as a whole, and watched meanwhile: what `make figures` does."""

import re
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any

import typer

from sensei.cli.preflight import named
from sensei.cli.status import show
from sensei.core.faults import full_disks
from sensei.study.layout import CONFIG_FOLDER

SNAKEFILE = CONFIG_FOLDER.parent / "Snakefile"
PROFILE = CONFIG_FOLDER.parent / "workflow" / "profiles" / "workstation"
FAILED = re.compile(r"^Error in (?:local )?rule (\w+):.*?^    log: (\S+)", re.MULTILINE | re.DOTALL)
LAST_WORDS = 20  # lines of Snakemake's own that are shown if it failed before any job did


def add_to(app: typer.Typer) -> None:
    """`make`."""
    app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(make)


def make(
    context: typer.Context,
    study: Annotated[str, typer.Argument(help="study file, or the name of one in config/")] = str(CONFIG_FOLDER / "config.yaml"),
    cores: Annotated[str, typer.Option(help="processor cores to use, or `all`")] = "all",
) -> None:
    """Make a study on this machine: say what it takes, show how far it is, and at the end what failed; further options are Snakemake's."""
    from rich.console import Console

    from sensei.core.orphan import let_jobs_end_with_me
    from sensei.study.plan import plan
    from sensei.study.status import status

    source, resolved, files = named(study)
    planned = plan(resolved, files, look=False)
    print(planned.line() if planned.total.jobs else f"Study {resolved.study} is finished; what has changed since is made again")
    print(f"Results go to {files.root}, at the end on one page: {files.report}\nSnakemake's words go to {files.snakemake_log}", flush=True)
    let_jobs_end_with_me()
    started, said_before = time.monotonic(), files.snakemake_log.stat().st_size if files.snakemake_log.exists() else 0
    files.root.mkdir(parents=True, exist_ok=True)
    words = ["--snakefile", SNAKEFILE, "--cores", cores, "--configfile", source, "--workflow-profile", PROFILE, *context.args]
    with open(files.snakemake_log, "ab") as log:
        snakemake = subprocess.Popen(
            [sys.executable, "-m", "snakemake", *map(str, words)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
        )
        received = _pass_on_signals(snakemake)
        show(lambda: status(resolved, files), lambda _, seconds: _ended(snakemake, seconds), Console())
    took = timedelta(seconds=round(time.monotonic() - started))
    if snakemake.returncode == 0:
        print(f"done in {took}: {files.report}")
        return
    with open(files.snakemake_log, encoding="utf-8", errors="replace") as log:
        log.seek(said_before)
        words = [f"stopped by {received[0].name}: the same command goes on"] if received else failures(log.read())
        print("\n".join(words), file=sys.stderr)
    raise typer.Exit(snakemake.returncode if snakemake.returncode > 0 else 128 - snakemake.returncode)


def failures(said: str) -> list[str]:
    """What went wrong, from what Snakemake said: each job that failed with the last lines of its log, else Snakemake's own last words."""
    from sensei.study.status import last_lines

    if not said.strip():
        full = f": no room is left in {' and '.join(disks)}" if (disks := full_disks()) else ""
        return [f"Error: Snakemake ended without a word{full}"]
    failed = dict.fromkeys(FAILED.findall(said))
    if not failed:
        lines = said.splitlines()
        last = max((number for number, line in enumerate(lines) if line.startswith("Error:")), default=len(lines) - LAST_WORDS)
        return lines[max(last, 0) :]
    return [line for rule, log in failed for line in (f"{rule} failed: {log}", *(f"    {words}" for words in last_lines(Path(log))))]


def _ended(process: subprocess.Popen[Any], seconds: float) -> bool:
    """Whether it has ended, after waiting so long for it."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True


def _pass_on_signals(process: subprocess.Popen[Any]) -> list[signal.Signals]:
    """Ctrl-C reaches everybody in front of a terminal by itself; this process only stays to say what became of it. Others are passed on.

    Returns:
        Those that come, from now on.
    """
    received: list[signal.Signals] = []

    def take(number: int, _: Any) -> None:
        received.append(signal.Signals(number))
        if number != signal.SIGINT:
            process.send_signal(number)

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, take)
    return received
