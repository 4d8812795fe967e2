"""The command line as a whole."""

import os
import sys
from typing import Annotated

import typer

from sensei import __version__
from sensei.bench import app as bench
from sensei.cli import environment, label_page, ledger, make, preflight, stages, status, study, use
from sensei.core.errors import EXIT_STATUS
from sensei.core.faults import explained

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
preflight.add_to(app)
status.add_to(app)
make.add_to(app)
stages.add_to(app)
environment.add_to(app)
label_page.add_to(app)
use.add_to(app)
app.add_typer(ledger.app, name="ledger")
app.add_typer(bench, name="bench")


def main() -> None:
    """Run the command line; what a user, a file or the machine caused is said without a traceback and ends it with exit code 2."""
    try:
        app()
    except BrokenPipeError:  # whoever read our output has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(EXIT_STATUS) from None
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        print(f"Error: {told}", file=sys.stderr)
        raise SystemExit(EXIT_STATUS) from None
