"""What the ledger holds, for people: tables, sums, what is in flight, and whether the file is whole."""

from pathlib import Path

import pandas as pd

from sensei.annotators.ledger import Ledger
from sensei.annotators.questions import key_of, text_hash
from sensei.core.errors import SenseiError
from sensei.core.files import atomic


def open_ledger(path: str | Path) -> Ledger:
    """The ledger at `path`.

    Raises:
        SenseiError: there is none.
    """
    if not Path(path).exists():
        raise SenseiError(f"there is no ledger {path}", hint="name it with --path; annotators that ask a model make it")
    return Ledger(path)


def table(ledger: Ledger) -> pd.DataFrame:
    """Every question with its answer and its texts in full."""
    return _table(
        ledger,
        "SELECT a.*, t.content AS question, h.content AS earlier_turns FROM answers a"
        " JOIN texts t ON t.sha256 = a.text JOIN texts h ON h.sha256 = a.history ORDER BY answered_at",
    ).drop(columns=["text", "history"])


def statistics(ledger: Ledger) -> pd.DataFrame:
    """One row a model, prompt and version: questions, those without a readable answer, tokens, dollars, mean seconds and attempts."""
    return _table(
        ledger,
        "SELECT model, prompt, version, COUNT(*) AS questions, COUNT(fault) AS unreadable, SUM(input_tokens) AS input_tokens,"
        " SUM(output_tokens) AS output_tokens, SUM(usd) AS usd, AVG(seconds) AS seconds, AVG(attempts) AS attempts,"
        " COUNT(DISTINCT server) AS servers FROM answers GROUP BY model, prompt, version",
    )


def open_claims(ledger: Ledger) -> tuple[int, float, int, float]:
    """(questions in flight, their dollars at most, attempts that were or may have been paid without an answer, their dollars)."""
    with ledger.reading() as execute:
        flight = execute("SELECT COUNT(*), TOTAL(usd) FROM claims").fetchone()
        return *flight, *execute("SELECT COUNT(*), TOTAL(usd) FROM losses").fetchone()


def faults(ledger: Ledger) -> list[str]:
    """What is wrong with the file: damage, keys that are not those of their question, texts or sums that are missing."""
    with ledger.reading() as execute:
        found = [text for (text,) in execute("PRAGMA integrity_check") if text != "ok"]
        for key, *values in execute("SELECT key, first, second, text, history, prompt, version, model, parameters FROM answers"):
            if key != key_of(tuple(values)):
                found.append(f"answer {key} is not that of its question")
        for digest, content in execute("SELECT sha256, content FROM texts"):
            if digest != text_hash(content):
                found.append(f"text {digest} was changed")
        missing = "SELECT key FROM answers WHERE text NOT IN (SELECT sha256 FROM texts) OR history NOT IN (SELECT sha256 FROM texts)"
        found += [f"a text of answer {key} is missing" for (key,) in execute(missing)]
        sums = (
            "SELECT model, usd, (SELECT TOTAL(usd) FROM answers a WHERE a.model = s.model)"
            " + (SELECT TOTAL(usd) FROM losses l WHERE l.model = s.model) FROM spending s"
        )
        found += [f"{model} cost {a} by its sum and {b} by its answers" for model, a, b in execute(sums) if abs(a - b) > 1e-6]
    return found


def statistics_lines(ledger: Ledger) -> list[str]:
    """`statistics` and what is in flight."""
    flight, flight_usd, lost, lost_usd = open_claims(ledger)
    claims = f"in flight: {flight} questions, at most {flight_usd:.4f} $; without an answer: {lost}, at most {lost_usd:.4f} $"
    return [statistics(ledger).to_string(index=False), claims]


def verify_lines(ledger: Ledger) -> list[str]:
    """That the file is whole, and which models were asked on several servers.

    Raises:
        SenseiError: it is not; the message has the first fault.
    """
    if found := faults(ledger):
        raise SenseiError(f"the ledger {ledger.path} has {len(found)} faults", found=found[0], hint="go back to a copy of the file")
    asked = statistics(ledger)
    spread = [f"{row.model}: its answers come from {row.servers} servers" for row in asked[asked["servers"] > 1].itertuples()]
    return [f"{ledger.path}: {int(asked['questions'].sum())} answers, all whole", *spread]


def export(ledger: Ledger, output: Path) -> None:
    """Write `table` to a file that ends in .csv, .parquet or .jsonl.

    Raises:
        SenseiError: it ends in something else.
    """
    whole = table(ledger)
    writers = {
        ".csv": lambda file: whole.to_csv(file, index=False),
        ".parquet": lambda file: whole.to_parquet(file, index=False),
        ".jsonl": lambda file: whole.to_json(file, orient="records", lines=True),
    }
    if output.suffix not in writers:
        raise SenseiError(f"cannot write {output}", found=output.suffix or "no suffix", expected=f"one of {', '.join(writers)}")
    with atomic(output) as temporary:
        writers[output.suffix](temporary)


def _table(ledger: Ledger, query: str) -> pd.DataFrame:
    with ledger.reading() as execute:
        rows = execute(query)
        return pd.DataFrame(rows.fetchall(), columns=[name for name, *_ in rows.description])
