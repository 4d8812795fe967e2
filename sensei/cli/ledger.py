"""What models were asked, and answered, in all studies."""

from pathlib import Path
from typing import Annotated, Any

import typer

from sensei.core.errors import SenseiError
from sensei.study.layout import LEDGER

app = typer.Typer(help="What models were asked, and answered, in all studies.", no_args_is_help=True)
LedgerPath = Annotated[Path, typer.Option("--path", help="the ledger")]


@app.command()
def stats(path: LedgerPath = LEDGER) -> None:
    """Questions, unreadable replies, tokens and dollars of each model and prompt."""
    print("\n".join(_open(path).summary()))


@app.command()
def export(output: Annotated[Path, typer.Argument(help="where to, ending in .csv, .parquet or .jsonl")], path: LedgerPath = LEDGER) -> None:
    """Write every question with its answer as a table."""
    _open(path).export(output)


@app.command()
def verify(path: LedgerPath = LEDGER) -> None:
    """Check that the file is whole, each answer that of its question, and the sums right."""
    print("\n".join(_open(path).verified()))


def _open(path: Path) -> Any:
    from sensei.annotators.ledger import Ledger

    if not path.exists():
        raise SenseiError(f"there is no ledger {path}", hint="name it with --path; annotators that ask a model make it")
    return Ledger(path)
