"""The ledger: what it knows, what it owes, and that neither a kill nor a full disk hurts it."""

import dataclasses
import signal
import subprocess
import sys
import time

import pytest
from fakes.questions import ANSWER, NO_LIMITS, QUESTION, other
from helpers import ROOT, environment
from hypothesis import given
from hypothesis import strategies as st

from sensei.annotators.audit import faults, open_claims, table
from sensei.annotators.ledger import Ledger, OverBudget, through_ledger
from sensei.annotators.questions import Question
from sensei.core.errors import SenseiError


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


def test_a_claim_keeps_others_away_until_it_is_answered_or_released(ledger):
    assert ledger.claim(QUESTION, 0.1, **NO_LIMITS)
    assert not Ledger(ledger.path).claim(QUESTION, 0.1, **NO_LIMITS)
    ledger.give_up(QUESTION.key)
    assert Ledger(ledger.path).claim(QUESTION, 0.1, **NO_LIMITS)
    ledger.record(QUESTION, ANSWER)
    assert not ledger.claim(QUESTION, 0.1, **NO_LIMITS)
    assert open_claims(ledger) == (0, 0.0, 0, 0.0)
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
        assert ledger.spent("a model") + open_claims(ledger)[1] <= limit + 1e-9
    assert faults(ledger) == []


def test_what_a_dead_process_had_in_flight_is_booked_as_lost(ledger):
    program = (
        "import sys, time\n"
        "from fakes.questions import NO_LIMITS, QUESTION, other\n"
        "from sensei.annotators.ledger import Ledger\n"
        "ledger = Ledger(sys.argv[1])\n"
        "assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)\n"
        "ledger.claim_batch('a model', [other(1)], [0.25], max_usd=None, token='t')\n"
        "print('claimed', flush=True)\n"
        "time.sleep(60)\n"
    )
    importable = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "-c", program, ledger.path], env=importable, stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "claimed\n"
    assert not ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    assert [batch.foreign for batch in ledger.batches("a model")] == [True]
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    assert open_claims(ledger) == (2, 0.75, 1, 0.5)
    assert ledger.spent("a model") == 0.5, "a loss counts against the budget"
    assert [batch.foreign for batch in ledger.batches("a model")] == [False], "anybody may take the batch up"
    assert ledger.claims_of_batch("t") == {other(1).key}
    assert faults(ledger) == []


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
    assert faults(whole) == []
    assert whole.find(QUESTION) == ANSWER
    assert 0 < number == len(table(whole)) - 1


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
