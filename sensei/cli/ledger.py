"""What models were asked, and answered, in all studies."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import LEDGER

app = typer.Typer(help="What models were asked, and answered, in all studies.", no_args_is_help=True)
LedgerPath = Annotated[Path, typer.Option("--path", help="the ledger")]


@app.command()
def stats(path: LedgerPath = LEDGER) -> None:
    """Questions, unreadable replies, tokens and dollars of each model and prompt."""
    from sensei.annotators.audit import open_ledger, statistics_lines

    print("\n".join(statistics_lines(open_ledger(path))))


@app.command()
def export(output: Annotated[Path, typer.Argument(help="where to, ending in .csv, .parquet or .jsonl")], path: LedgerPath = LEDGER) -> None:
    """Write every question with its answer as a table."""
    from sensei.annotators import audit

    audit.export(audit.open_ledger(path), output)


@app.command()
def verify(path: LedgerPath = LEDGER) -> None:
    """Check that the file is whole, each answer that of its question, and the sums right."""
    from sensei.annotators.audit import open_ledger, verify_lines

    print("\n".join(verify_lines(open_ledger(path))))


@app.command()
def forget(
    fault: Annotated[str, typer.Option(help='why a reply is no answer, e.g. "cut off"; the faults are on the card of the labels')],
    path: LedgerPath = LEDGER,
) -> None:
    """Drop the replies that are no answers for one reason, so that they are asked again; what they cost stays spent."""
    from sensei.annotators.audit import open_ledger

    print(f"{open_ledger(path).forget(fault)} replies forgotten: run the study again, and they are asked again")
