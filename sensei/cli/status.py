"""How far a study is."""

import json
import time
from collections.abc import Callable
from typing import Annotated, Any

import typer

from sensei.cli.preflight import named
from sensei.study.layout import CONFIG_FOLDER

EVERY = 5.0  # seconds between two looks in a terminal
EVERY_LINE = 60.0  # and where nobody watches


def add_to(app: typer.Typer) -> None:
    """`status`."""
    app.command()(status)


def status(
    study: Annotated[str, typer.Argument(help="study file, or a name in config/ or results/")] = str(CONFIG_FOLDER / "config.yaml"),
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, for programs")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="go on until nothing is left: a live view, or a line a minute in a log")] = False,
) -> None:
    """Say how far a study is, from its files alone: stages, runs with steps, time left and counts, what failed with its last words."""
    from rich.console import Console

    from sensei.study.status import status as status_of

    _, resolved, files = named(study, told=not as_json)
    found = status_of(resolved, files)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
        return
    console = Console(force_terminal=None if watch else False)
    show(lambda: status_of(resolved, files), lambda now, seconds: now.done or not watch or bool(time.sleep(seconds)), console)


def show(look: Callable[[], Any], over: Callable[[Any, float], bool], console: Any) -> None:
    """Show how far a study is until it is over: a live view in a terminal, else all at first and then a line a minute.

    Args:
        look: gives a `sensei.study.status.Status`.
        over: given the last one and seconds, waits so long unless it is over before, and says whether it is.
        console: of rich.
    """
    from rich.live import Live

    now = look()
    if not console.is_terminal:
        print("\n".join(now.lines()), flush=True)
        while not over(now, EVERY_LINE):
            now = look()
            print(now.line(), flush=True)
        return
    with Live(view(now), console=console, auto_refresh=False) as live:
        while not over(now, EVERY):
            now = look()
            live.update(view(now), refresh=True)
        live.update(view(look()), refresh=True)


def view(found: Any) -> Any:
    """A `sensei.study.status.Status` as tables of rich: stages, then the jobs that have begun."""
    from datetime import timedelta

    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    title = Text(f"study {found.study}, in {found.folder}{found.work_in_words}", "bold")
    stages = Table("stage", "done", "")
    for name, (done, of) in found.stages.items():
        stages.add_row(name, f"{done} of {of}", ProgressBar(total=of, completed=done, width=20, complete_style="cyan"))
    jobs = Table("job", "state", "steps", "left", "so far", "log")
    failures = []
    for job in found.jobs:
        style = {"running": "green", "failed": "bold red", "stopped": "yellow"}[job.state]
        left = "" if job.seconds_left is None else str(timedelta(seconds=round(job.seconds_left)))
        steps = f"{job.step:,} of {job.steps:,}" if job.steps else ""
        counts = "\n".join(f"{name} {count:g}" for name, count in job.counts.items())
        jobs.add_row(f"{job.stage} {job.name}", Text(job.state, style), steps, left, counts, Text(job.log, overflow="fold"))
        failures += [Text(f"{job.stage} {job.name}: {line}", "red") for line in job.said]
    return Group(title, stages, *([jobs] if found.jobs else []), *failures)
