"""Whether a study can run here, and what it takes."""

import json
import shutil
from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import CONFIG_FOLDER, RESULTS, Layout
from sensei.study.models.study import Study

STUDY = Annotated[str, typer.Option(help="study file, or the name of one in config/ or results/")]
WIDTH = 160  # letters of a table where there is no terminal


def add_to(app: typer.Typer) -> None:
    """`preflight` and `plan`."""
    app.command()(preflight)
    app.command()(plan)


def preflight(
    study: STUDY,
    offline: Annotated[bool, typer.Option("--offline", help="ask no server")] = False,
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="pass over what only this machine lacks: jobs run on others")] = False,
) -> None:
    """Say all that a study lacks to run: keys, servers, packages, a GPU, room on the disk; the workflow does it before its first job."""
    from sensei.core.errors import SenseiError
    from sensei.study.preflight import missing, told

    source, resolved, files = named(study)
    if lacking := missing(resolved, files, not offline, not elsewhere):
        raise SenseiError(told(lacking, str(source)))
    print(f"{source} lacks nothing")


def plan(
    study: STUDY,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, for programs")] = False,
) -> None:
    """Say what a study takes before anything runs, stage by stage: jobs, core and card hours, limits, memory, disk, labels, dollars."""
    from sensei.study.plan import plan as planned
    from sensei.study.plan import table

    _, resolved, files = named(study, told=not as_json)
    found = planned(resolved, files)
    if as_json:
        print(json.dumps(found.as_json(), indent=1))
        return
    from rich.console import Console

    Console(width=max(WIDTH, shutil.get_terminal_size().columns)).print(table(found))
    print("\n".join([found.line(), *found.notes]))


def named(study: str, told: bool = True) -> tuple[Path, Study, Layout]:
    """The file of a study, the study, and its folder, which was made by no other."""
    from sensei.study.folder import check_folder
    from sensei.study.load import load_study

    places = Path(study), CONFIG_FOLDER / f"{study}.yaml", Layout(RESULTS / study).study  # the last: unpacked, or copied from elsewhere
    source = next((place for place in places if place.is_file()), Path(study))
    resolved = load_study(source)
    for line in resolved.told_left_out() if told else ():
        print(f"{source}: {line}")
    files = Layout(RESULTS / resolved.study)
    check_folder(resolved, files.study, str(source))
    return source, resolved, files
