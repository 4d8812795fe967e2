"""The command line as a whole."""

import sys
from typing import Annotated

import typer

from sensei import __version__
from sensei.bench import app as bench
from sensei.cli import ledger, stages, study
from sensei.core.errors import SenseiError

app = typer.Typer(
    help="Stages of the SENSEI pipeline. `snakemake` runs them all in order.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"sensei {__version__}")
        raise typer.Exit


@app.callback()
def sensei(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="say the version and end")] = False,
) -> None:
    """Stages of the SENSEI pipeline. `snakemake` runs them all in order."""


study.add_to(app)
stages.add_to(app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line; a `SenseiError` is printed without a traceback and ends it with exit code 2."""
    try:
        app()
    except SenseiError as error:
        print(f"Error: {error}", file=sys.stderr)
        raise SystemExit(2) from None
