"""Commands about studies themselves."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import CONFIG_FOLDER


def add_to(app: typer.Typer) -> None:
    """`study` and `schema`."""
    app.command()(study)
    app.command()(schema)


def study(
    source: Annotated[Path, typer.Argument(help="study file, e.g. config/smoke.yaml")],
    output: Annotated[
        Path | None, typer.Argument(help="where the resolved study goes, results/STUDY/study.yaml; without it, nothing is written")
    ] = None,
) -> None:
    """Validate a study and write it with every default filled in, as the workflow does before its first job."""
    from sensei.study.folder import check_folder, record_study
    from sensei.study.load import load_study

    resolved = load_study(source)
    if output is not None:
        check_folder(resolved, output, str(source))
        record_study(resolved, output)


def schema(output: Annotated[Path, typer.Argument(help="where to")] = CONFIG_FOLDER / "schema.json") -> None:
    """Write the JSON schema of study files, for editors; run it after changing sensei/study/models."""
    from sensei.core.files import atomic
    from sensei.study.schema import json_schema

    with atomic(output) as temporary:
        temporary.write_text(json_schema(), encoding="utf-8")
