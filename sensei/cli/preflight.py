"""Whether a study can run here."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import CONFIG_FOLDER, RESULTS, Layout


def add_to(app: typer.Typer) -> None:
    """`preflight`."""
    app.command()(preflight)


def preflight(
    study: Annotated[str, typer.Option(help="study file, or the name of one in config/")],
    offline: Annotated[bool, typer.Option("--offline", help="ask no server")] = False,
    elsewhere: Annotated[bool, typer.Option("--elsewhere", help="pass over what only this machine lacks: jobs run on others")] = False,
) -> None:
    """Say all that a study lacks to run: keys, servers, packages, a GPU, room on the disk; the workflow does it before its first job."""
    from sensei.core.errors import SenseiError
    from sensei.study.folder import check_folder
    from sensei.study.load import load_study
    from sensei.study.preflight import missing, told

    named = CONFIG_FOLDER / f"{study}.yaml"
    source = named if named.exists() and not Path(study).exists() else Path(study)
    resolved = load_study(source)
    for line in resolved.told_left_out():
        print(f"{source}: {line}")
    files = Layout(RESULTS / resolved.study)
    check_folder(resolved, files.study, str(source))
    if lacking := missing(resolved, files, not offline, not elsewhere):
        raise SenseiError(told(lacking, str(source)))
    print(f"{source} lacks nothing")
