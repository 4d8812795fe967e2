"""The ledger: what it knows, what it owes, and that neither a kill nor a full disk hurts it."""

import dataclasses
import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sensei.__main__ import app
from sensei.annotators.ledger import Answer, Ledger, OverBudget, Question, picture_hash, through_ledger
from sensei.annotators.vlm.openai.cost import most_text_tokens, picture_tokens, text_tokens
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label
from sensei.study.models.annotators import OpenAIConfig

QUESTION = Question("first", "second", "Which?", ("Describe.", "A room."), "own", "1", "a model", (("temperature", 0.2),))
ANSWER = Answer("0", Label.FIRST, None, 300, 1, 0.002, 1.5, 2, "127.0.0.1:8000", "req-1", None)
NO_LIMITS = {"max_usd": None, "at_once": 100, "seconds": 60.0}
ROOT = Path(__file__).resolve().parents[2]


def other(number: int) -> Question:
    """A question of its own."""
    return dataclasses.replace(QUESTION, first=f"picture {number}")


@pytest.fixture
def ledger(tmp_path):
    return Ledger(tmp_path / "ledger.sqlite")


def test_an_answer_is_found_by_its_question_alone(ledger):
    assert ledger.find(QUESTION) is None
    ledger.record(QUESTION, ANSWER)
    assert Ledger(ledger.path).find(QUESTION) == ANSWER
    ledger.record(QUESTION, dataclasses.replace(ANSWER, reply="1"))
    assert ledger.find(QUESTION) == ANSWER, "the first answer stays"
    changes = {"first": "second", "second": "first", "text": "Which one?", "history": (), "prompt": "other", "version": "2", "model": "b",
               "parameters": (("temperature", 0.3),)}  # fmt: skip
    assert changes.keys() == {field.name for field in dataclasses.fields(Question)}
    for name, value in changes.items():
        assert ledger.find(dataclasses.replace(QUESTION, **{name: value})) is None, name


def test_a_picture_is_known_by_pixels_and_shape():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert picture_hash(image) == picture_hash(np.asfortranarray(image))
    assert picture_hash(image) != picture_hash(image.reshape(2, 8, 3))
    assert picture_hash(image) != picture_hash(image + 1)


def test_a_claim_keeps_others_away_until_it_is_answered_or_released(ledger):
    assert ledger.claim(QUESTION, 0.1, **NO_LIMITS)
    assert not Ledger(ledger.path).claim(QUESTION, 0.1, **NO_LIMITS)
    ledger.release(QUESTION.key)
    assert Ledger(ledger.path).claim(QUESTION, 0.1, **NO_LIMITS)
    ledger.record(QUESTION, ANSWER)
    assert not ledger.claim(QUESTION, 0.1, **NO_LIMITS)
    assert ledger.open_claims() == (0, 0.0, 0, 0.0)
    assert ledger.claim(other(0), 0.1, **NO_LIMITS | {"at_once": 1})
    assert not ledger.claim(other(1), 0.1, **NO_LIMITS | {"at_once": 1}), "too many in flight"


@given(prices=st.lists(st.floats(0.001, 1.0), min_size=1, max_size=12), share=st.floats(0.1, 1.0), limit=st.floats(0.1, 4.0))
def test_spending_never_exceeds_the_limit(tmp_path_factory, prices, share, limit):
    """Whatever questions cost at most, and less in fact, and however many are in flight."""
    ledger = Ledger(tmp_path_factory.mktemp("ledger") / "ledger.sqlite")
    flying = []
    for number, price in enumerate(prices):
        try:
            claimed = ledger.claim(other(number), price, **NO_LIMITS | {"max_usd": limit})
        except OverBudget:
            assert ledger.spent("a model") + price > limit
            assert not flying
            claimed = False
        if claimed:
            flying.append((number, price))
        if flying and number % 3 == 2:
            answered, most = flying.pop(0)
            ledger.record(other(answered), dataclasses.replace(ANSWER, usd=share * most))
        assert ledger.spent("a model") + ledger.open_claims()[1] <= limit + 1e-9
    assert ledger.faults() == []


def test_what_a_dead_process_had_in_flight_is_booked_as_lost(ledger):
    program = (
        "import sys, time\n"
        "sys.path[:0] = ['tests', 'tests/annotators']\n"
        "from test_ledger import *\n"
        "ledger = Ledger(sys.argv[1])\n"
        "assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)\n"
        "ledger.claim_batch('a model', [other(1)], [0.25], max_usd=None, token='t')\n"
        "print('claimed', flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", program, ledger.path], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    assert not ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    assert [batch.foreign for batch in ledger.batches("a model")] == [True]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    assert ledger.open_claims() == (2, 0.75, 1, 0.5)
    assert ledger.spent("a model") == 0.5, "a loss counts against the budget"
    assert [batch.foreign for batch in ledger.batches("a model")] == [False], "anybody may take the batch up"
    assert ledger.claims_of_batch("t") == {other(1).key}
    assert ledger.faults() == []


def test_limits_a_minute_hold_for_all_processes(ledger, monkeypatch):
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    assert [ledger.admit("a model", 10, 3, None) for _ in range(3)] == [0.0, 0.0, 0.0]
    now += 20
    assert Ledger(ledger.path).admit("a model", 10, 3, None) == pytest.approx(40)
    assert ledger.admit("another", 10, 3, None) == 0
    now += 40.5
    assert ledger.admit("a model", 10, 3, None) == 0
    assert ledger.admit("a model", 100, None, 105) > 0
    assert ledger.admit("a third", 200, None, 105) == 0, "a question above the limit goes when nothing else did"


def test_a_full_disk_is_a_clear_stop_and_the_ledger_stays_whole(ledger):
    ledger.record(QUESTION, ANSWER)
    pages = ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    ledger._connection.execute(f"PRAGMA max_page_count = {pages + 4}")  # SQLite then says what it says of a full disk
    with pytest.raises(SenseiError, match="the disk of .* is full\n-> make room and run again"):
        for number in range(1000):
            ledger.claim(other(number), 0.001, **NO_LIMITS)
            ledger.record(other(number), dataclasses.replace(ANSWER, reply="x" * 1000))
    whole = Ledger(ledger.path)
    assert whole.faults() == []
    assert whole.find(QUESTION) == ANSWER
    assert 0 < number == len(whole.table()) - 1


def test_damage_and_tampering_are_found(ledger, tmp_path):
    ledger.record(QUESTION, ANSWER)
    ledger.record(other(1), ANSWER)
    assert ledger.faults() == []
    tamper = sqlite3.connect(ledger.path, isolation_level=None)
    tamper.execute("UPDATE answers SET model = 'b' WHERE key = ?", (QUESTION.key,))
    tamper.execute("UPDATE texts SET content = 'Whichever?' WHERE content = 'Which?'")
    tamper.execute("UPDATE spending SET usd = 0")
    found = " ".join(ledger.faults())
    assert all(part in found for part in (f"answer {QUESTION.key} is not", "text", "was changed", "a model cost 0.0 by its sum"))
    (tmp_path / "no.sqlite").write_text("not a database, but long enough to be taken for one" * 20)
    with pytest.raises(SenseiError, match="the ledger .*no.sqlite cannot be used: found file is not a database"):
        Ledger(tmp_path / "no.sqlite")


def test_a_model_in_this_process_is_asked_each_question_once(ledger):
    asked = []

    def ask(places):
        asked.extend(places)
        return [dataclasses.replace(ANSWER, reply=str(place)) for place in places]

    questions = [other(0), other(1), other(0), other(2)]
    answers = through_ledger(ledger, questions, ask)
    assert asked in ([2, 1, 3], [0, 1, 3])
    assert answers[0] == answers[2]
    assert through_ledger(ledger, questions, ask) == answers
    assert len(asked) == 3


def test_the_command_line_tells_exports_and_verifies(ledger, tmp_path):
    ledger.record(QUESTION, ANSWER)

    def run(*arguments):
        return CliRunner().invoke(app, ["ledger", *arguments, "--path", str(ledger.path)])

    assert "a model" in run("stats").stdout
    assert "1 answers, all whole" in run("verify").stdout
    for suffix in ("csv", "parquet", "jsonl"):
        assert run("export", str(tmp_path / f"out.{suffix}")).exit_code == 0
    assert "Which?" in (tmp_path / "out.csv").read_text()
    assert "expected one of .csv, .parquet, .jsonl" in str(run("export", str(tmp_path / "out.txt")).exception)
    sqlite3.connect(ledger.path, isolation_level=None).execute("UPDATE answers SET prompt = 'x'")
    assert "has 1 faults" in str(run("verify").exception)
    os.remove(ledger.path)
    assert "there is no ledger" in str(run("stats").exception)


# OpenAI's guide "Images and vision", section "Calculating costs", and its examples.
@pytest.mark.parametrize(
    ("detail", "height", "width", "tokens"),
    [("low", 4096, 8192, 85), ("high", 1024, 1024, 765), ("high", 4096, 2048, 1105), ("high", 80, 80, 255), ("low", 80, 80, 85)],
)
def test_pictures_are_counted_in_tiles(detail, height, width, tokens):
    assert picture_tokens(height, width, OpenAIConfig(model="m", detail=detail)) == tokens


@pytest.mark.parametrize(("height", "width", "factor", "tokens"), [(1024, 1024, 1.0, 1024), (1800, 2400, 1.0, 1536), (80, 80, 1.62, 15)])
def test_pictures_are_counted_in_patches(height, width, factor, tokens):
    config = OpenAIConfig(model="m", prices={"pictures": "patches", "patch_factor": factor})
    assert picture_tokens(height, width, config) == pytest.approx(tokens, abs=0.5 * factor)


@given(st.text())
def test_no_text_takes_more_than_its_bytes(text):
    assert text_tokens(text) <= most_text_tokens(text)
