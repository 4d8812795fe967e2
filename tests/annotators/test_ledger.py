"""The ledger: what it knows, what it owes, and that neither a kill nor a full disk hurts it."""

import contextlib
import dataclasses
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from fakes.crashing import SOURCE, Crash
from fakes.questions import ANSWER, NO_LIMITS, QUESTION, other
from helpers import ROOT, environment
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from sensei.annotators.audit import faults, open_claims, table
from sensei.annotators.ledger import SCHEMA, Ledger, OverBudget, through_ledger
from sensei.annotators.questions import Question
from sensei.cli.ledger import app
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


@pytest.mark.parametrize(
    ("content", "found"),
    [(b"", "no bytes"), ("CREATE TABLE other (x)", "no table answers"), ("DROP TABLE texts", "no table texts")],
)
def test_what_is_no_ledger_is_not_taken_for_a_new_one(tmp_path, content, found):
    path = tmp_path / "ledger.sqlite"
    if content == "DROP TABLE texts":
        Ledger(path).close()
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as database:
            database.execute(content)
    before = path.read_bytes()
    with pytest.raises(SenseiError, match=f"the ledger .* is not one, or is damaged: found {found}\n-> put a copy back"):
        Ledger(path)
    assert path.read_bytes() == before


def test_a_lost_sector_and_a_damaged_label_are_said_before_anything_is_bought_again(tmp_path):
    path = tmp_path / "ledger.sqlite"
    ledger = Ledger(path)
    for number in range(200):
        ledger.record(other(number), ANSWER)
    ledger.close()
    whole = path.read_bytes()
    at = whole.rindex(b"picture 7")
    path.write_bytes(whole[: at - at % 512] + bytes(512) + whole[at - at % 512 + 512 :])
    with pytest.raises(SenseiError, match="is not one, or is damaged: found .*\n-> put a copy back"):
        Ledger(path)
    path.write_bytes(whole)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE answers SET label = 'FIRSU'")
    with pytest.raises(SenseiError, match="is damaged: found the label 'FIRSU'"):
        Ledger(path).find(other(3))


def test_answers_that_lie_beside_a_missing_ledger_are_not_lost(tmp_path):
    (tmp_path / "ledger.sqlite-wal").write_bytes(b"answers")
    with pytest.raises(SenseiError, match="is missing: found its last answers in .*-wal\n-> put it back"):
        Ledger(tmp_path / "ledger.sqlite")


def test_many_processes_make_one_ledger(tmp_path):
    """None sees it half made, and each one's answer is kept."""
    program = (
        "import sys\n"
        "from fakes.questions import ANSWER, other\n"
        "from sensei.annotators.ledger import Ledger\n"
        "sys.stdin.readline()\n"
        "Ledger(sys.argv[1]).record(other(int(sys.argv[2])), ANSWER)\n"
    )
    importable = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    path = tmp_path / "results" / "ledger.sqlite"
    command = [sys.executable, "-c", program, path]
    processes = [subprocess.Popen([*command, str(number)], env=importable, stdin=subprocess.PIPE, text=True) for number in range(4)]
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()
    assert [process.wait() for process in processes] == [0] * 4
    assert len(table(Ledger(path))) == 4
    assert sorted(file.name for file in path.parent.iterdir() if file.name.startswith(".")) == []


def test_an_old_ledger_stays_readable_and_forgets_what_never_was_an_answer(tmp_path):
    path = tmp_path / "ledger.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        old.executescript(f"PRAGMA journal_mode = WAL; {SCHEMA}")
    recorded = {0: (None, "0"), 1: ("no chat completion", "<html>"), 2: ("rejected", "bad image"), 3: ("empty", "")}
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as old:
        for number, (fault, reply) in recorded.items():
            question = dataclasses.replace(other(number), second="" if fault == "empty" else "second")  # an empty first turn
            values = (
                question.key,
                *question.columns,
                reply,
                None if fault else "FIRST",
                fault,
                300,
                1,
                0.002,
                1.5,
                1,
                "h",
                None,
                None,
                7.0,
            )
            old.execute(f"INSERT INTO answers VALUES ({', '.join('?' * len(values))})", values)
            old.executemany("INSERT OR IGNORE INTO texts VALUES (?, ?)", zip(question.columns[2:4], question.texts, strict=True))
        old.execute("INSERT INTO spending VALUES ('a model', 0.008)")
    for _ in range(2):
        ledger = Ledger(path)
        assert table(ledger)["reply"].tolist() == ["0"]
        assert (ledger.spent("a model"), ledger.lost("a model")) == (pytest.approx(0.008), pytest.approx(0.006))
        assert faults(ledger) == []
        ledger.close()


def test_a_ledger_of_newer_code_is_left_alone(ledger):
    ledger._connection.execute("PRAGMA user_version = 99")
    with pytest.raises(SenseiError, match="is of version 99: expected at most 1"):
        Ledger(ledger.path)


def test_what_broke_on_the_way_is_booked_and_what_was_refused_is_not(ledger):
    for number, usd in enumerate([None, 0.0, 0.25]):
        assert ledger.claim(other(number), 0.5, **NO_LIMITS)
        ledger.give_up(other(number).key, usd)
    assert ledger.spent("a model") == ledger.lost("a model") == 0.75
    assert open_claims(ledger)[:2] == (0, 0.0) and faults(ledger) == []


def test_a_bill_above_the_estimate_counts_for_all_that_is_in_flight(ledger):
    limited = NO_LIMITS | {"max_usd": 1.0}
    assert ledger.claim(other(0), 0.02, **limited)
    assert not ledger.claim(other(1), 0.02, **limited), "nobody follows before the first bill"
    ledger.record(other(0), dataclasses.replace(ANSWER, usd=0.2))
    flying = [number for number in range(1, 20) if ledger.claim(other(number), 0.02, **limited)]
    assert flying == [1, 2, 3, 4], "the bill was ten times the claim: 0.2 + 4 x 0.2, and no fifth"
    for number in flying:
        ledger.give_up(other(number).key, None)
    assert ledger.spent("a model") == pytest.approx(1.0), "what is lost is lost at the price of the last bill"
    with pytest.raises(OverBudget):
        ledger.claim(other(20), 0.02, **limited)
    assert faults(ledger) == []


def test_the_first_bill_says_what_was_lost_before_it(ledger):
    assert ledger.claim(other(0), 0.02, **NO_LIMITS)
    ledger.give_up(other(0).key, None)
    assert ledger.spent("a model") == 0.02
    for number, usd in ((1, 0.2), (2, 0.4)):
        assert ledger.claim(other(number), 0.02, **NO_LIMITS)
        ledger.record(other(number), dataclasses.replace(ANSWER, usd=usd))
        assert ledger.lost("a model") == pytest.approx(0.2)
    assert ledger.spent("a model") == pytest.approx(0.8) and faults(ledger) == []


def test_a_question_that_is_charged_once_is_not_lost_too(ledger):
    assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    ledger.give_up(QUESTION.key, None)
    assert ledger.spent("a model") == 0.5
    assert ledger.claim(QUESTION, 0.5, **NO_LIMITS)
    ledger.record(QUESTION, ANSWER, charged_once=True)
    assert ledger.spent("a model") == pytest.approx(ANSWER.usd) and ledger.lost("a model") == 0
    assert faults(ledger) == []


def test_replies_that_are_no_answers_can_be_forgotten_by_their_fault(ledger):
    ledger.record(QUESTION, ANSWER)
    for number, fault in enumerate(["cut off", "cut off", "empty"]):
        ledger.record(other(number), dataclasses.replace(ANSWER, label=None, fault=fault))
    said = CliRunner().invoke(app, ["forget", "--fault", "cut off", "--path", str(ledger.path)])
    assert said.exit_code == 0 and said.output.startswith("2 replies forgotten")
    assert ledger.find(other(0)) is None and ledger.find(other(2)).fault == "empty" and ledger.find(QUESTION) == ANSWER
    assert ledger.spent("a model") == pytest.approx(4 * ANSWER.usd) and faults(ledger) == []
    with pytest.raises(SenseiError, match="no reply with the fault 'cut of': expected one of empty"):
        ledger.forget("cut of")


FAULTS = """
import ctypes, os, sys
from pathlib import Path

from sensei.annotators.ledger import Ledger
from sensei.core.errors import SenseiError

library, folder, fault = ctypes.CDLL(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
library.crash_arm.argtypes, library.crash_trace.restype = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int), ctypes.c_char_p


def attempt(at):
    place = folder / str(at)
    place.mkdir()
    if (child := os.fork()) == 0:
        library.crash_arm(str(place).encode(), at, fault)
        try:
            Ledger(place / "ledger.sqlite").close()
        except SenseiError:
            pass
        (folder / "operations").write_bytes(library.crash_trace())
        os._exit(0)
    os.waitpid(child, 0)
    return place / "ledger.sqlite"


attempt(-1)
operations = (folder / "operations").read_bytes()
for at in range(len(operations)):
    if (made := attempt(at)).exists():
        Ledger(made).close()
print(len(operations))
"""


@pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="the layer is preloaded by Linux, and compiled")
def test_a_ledger_that_is_made_while_the_disk_fails_is_there_whole_or_not_at_all(tmp_path):
    """Each operation on the disk fails once; whatever is there afterwards is a ledger."""
    library = tmp_path / "crash.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, SOURCE, "-ldl"], check=True)
    command = [sys.executable, "-c", FAULTS, library, tmp_path, str(int(Crash.FAULT))]
    done = subprocess.run(command, env=environment() | {"LD_PRELOAD": str(library)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout) > 20
