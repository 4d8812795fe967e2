"""Commands about studies themselves."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import CONFIG_FOLDER, RESULTS, Layout


def add_to(app: typer.Typer) -> None:
    """`study`, `schema`, `export` and `unpack`."""
    for command in (study, schema, export, unpack):
        app.command()(command)


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
    from sensei.core.files import write_text
    from sensei.study.schema import json_schema

    write_text(output, json_schema())


def export(
    study: Annotated[str, typer.Option(help="a finished study below results/, or its study.yaml")],
    output: Annotated[Path | None, typer.Option(help="where to; by default results/STUDY.tar.gz")] = None,
    checkpoints: Annotated[bool, typer.Option("--checkpoints", help="also what was learned: agents, and models of annotators")] = False,
    frames: Annotated[bool, typer.Option("--frames", help="also the pictures that were compared")] = False,
    agents: Annotated[
        list[str] | None,
        typer.Option("--agent", help="also this run's agent, to be played, not trained further: ENVIRONMENT/explore/METHOD/seed0"),
    ] = None,
) -> None:
    """Pack a finished study: labels, reward models, scores and events, with checksums; `make figures EXPORT=FILE` draws it all again."""
    from sensei.study.export import export as pack
    from sensei.study.load import read_study

    recorded = recorded_of(study)
    files = Layout.of(recorded)
    archive = output or files.archive
    asked_for = frozenset(name for name, asked in (("checkpoints", checkpoints), ("frames", frames)) if asked)
    count = pack(read_study(recorded), files, archive, asked_for, agents or ())
    print(f"{archive}: {count} files, {archive.stat().st_size / 1e6:.1f} MB")


def recorded_of(study: str) -> Path:
    """The study.yaml of a study that was begun, by its name or by that path.

    Raises:
        SenseiError: there is none.
    """
    from sensei.core.errors import SenseiError

    recorded = Path(study) if Path(study).is_file() else Layout(RESULTS / study).study
    if not recorded.exists():
        raise SenseiError(f"there is no study {study} below {RESULTS}", hint="`snakemake` makes it; or give its study.yaml")
    return recorded


def unpack(archive: Annotated[Path, typer.Argument(help="what `export` wrote")]) -> None:
    """Lay an exported study below results/ and say where its study.yaml is, with which Snakemake draws it."""
    from sensei.study.export import unpack as lay

    print(lay(archive).study)
