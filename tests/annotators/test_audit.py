"""The ledger as people see it: its tables and sums, and what is found when somebody has been at the file."""

import os
import sqlite3

import pandas as pd
import pytest
from fakes.questions import ANSWER, NO_LIMITS, QUESTION, other

from sensei.annotators.audit import export, faults, open_ledger, statistics_lines, table, verify_lines
from sensei.annotators.ledger import Ledger
from sensei.core.errors import SenseiError


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def test_damage_and_tampering_are_found(ledger, tmp_path):
    ledger.record(QUESTION, ANSWER)
    ledger.record(other(1), ANSWER)
    assert faults(ledger) == []
    tamper = sqlite3.connect(ledger.path, isolation_level=None)
    tamper.execute("UPDATE answers SET model = 'b' WHERE key = ?", (QUESTION.key,))
    tamper.execute("UPDATE texts SET content = 'Whichever?' WHERE content = 'Which?'")
    tamper.execute("UPDATE spending SET usd = 0")
    found = " ".join(faults(ledger))
    assert all(part in found for part in (f"answer {QUESTION.key} is not", "text", "was changed", "a model cost 0.0 by its sum"))
    (tmp_path / "no.sqlite").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(SenseiError, match="the ledger .*no.sqlite cannot be used: found file is not a database"):
        Ledger(tmp_path / "no.sqlite")


def test_questions_prices_and_claims_are_told(ledger):
    ledger.record(QUESTION, ANSWER)
    assert ledger.claim(other(1), 0.25, **NO_LIMITS)
    said, claims = statistics_lines(ledger)
    assert "a model" in said and "0.002" in said
    assert claims == "in flight: 1 questions, at most 0.2500 $; without an answer: 0, at most 0.0000 $"


def test_a_whole_ledger_says_so_and_a_changed_one_is_an_error(ledger):
    ledger.record(QUESTION, ANSWER)
    assert verify_lines(ledger) == [f"{ledger.path}: 1 answers, all whole"]
    sqlite3.connect(ledger.path, isolation_level=None).execute("UPDATE answers SET prompt = 'x'")
    with pytest.raises(SenseiError, match="has 1 faults"):
        verify_lines(ledger)


READERS = {"csv": pd.read_csv, "parquet": pd.read_parquet, "jsonl": lambda path: pd.read_json(path, lines=True)}


@pytest.mark.parametrize(("suffix", "read"), READERS.items())
def test_an_export_holds_every_question_with_its_texts(ledger, tmp_path, suffix, read):
    ledger.record(QUESTION, ANSWER)
    ledger.record(other(1), ANSWER)
    export(ledger, tmp_path / f"out.{suffix}")
    found = read(tmp_path / f"out.{suffix}")
    assert list(found.columns) == list(table(ledger).columns)
    assert found["question"].tolist() == ["Which?", "Which?"] and found["earlier_turns"].tolist() == ['["Describe.", "A room."]'] * 2


def test_what_cannot_be_exported_or_opened_is_named(ledger, tmp_path):
    with pytest.raises(SenseiError, match="found .txt, expected one of .csv, .parquet, .jsonl"):
        export(ledger, tmp_path / "out.txt")
    os.remove(ledger.path)
    with pytest.raises(SenseiError, match="there is no ledger"):
        open_ledger(ledger.path)
    assert not ledger.path.exists()
