"""Every fault of the hostile server, over real connections: the outcome that the table says, and never more charged than booked."""

import signal
import subprocess
import time

import pytest
from fakes.annotating import ONCE, assignment
from fakes.asking import MODEL, SECRET, command, openai_options, write_frames, write_pairs, write_study
from fakes.hostile_server import ANSWER, FAULTS, INPUT_PRICE, LATE, OUTPUT_PRICE, Reply, completion, hostile
from helpers import ROOT, environment

from sensei.annotators import audit
from sensei.annotators.ledger import Ledger
from sensei.annotators.shards import annotate_shard
from sensei.core.errors import SenseiError
from sensei.preferences.tables import read_replies

PRICES = {"input_per_million": INPUT_PRICE, "output_per_million": OUTPUT_PRICE}
PAIRS = 6
PAID = [name for name, fault in FAULTS.items() if fault.reply.usd]
ANSWERED = [name for name, fault in FAULTS.items() if fault.outcome is None]
UNANSWERED = [name for name in FAULTS if name not in ANSWERED]
PASSING = [name for name in UNANSWERED if FAULTS[name].outcome.startswith("questions")]  # what is tried again within a run


@pytest.fixture
def shard(tmp_path, monkeypatch):
    """Annotates a shard of pairs by a server; every call takes up what the last one has left."""
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    write_frames(tmp_path, 8)
    write_pairs(tmp_path / "pairs.parquet", PAIRS, 8)
    output = tmp_path / "shard0.jsonl"

    def annotate(server, prompt="robodesk", **settings):
        monkeypatch.setenv("OPENAI_BASE_URL", server.address)
        requests = {"at_once": PAIRS, "attempts": 2, "timeout": LATE / 2 if server.fault.late else 20.0, "longest_wait": 0.02}
        asked = openai_options(**{"prices": PRICES, "requests": requests, "max_unreadable": 0.1} | settings)
        annotate_shard(
            tmp_path / "pairs.parquet", tmp_path / "frames.npz", "gpt-4o", asked, 0, 1, output, assignment(tmp_path, prompt=prompt), ONCE
        )
        return read_replies(output)

    annotate.output, annotate.ledger = output, lambda: Ledger(tmp_path / "ledger.sqlite")
    return annotate


@pytest.mark.parametrize("name", UNANSWERED)
def test_a_fault_that_stays_stops_the_shard_each_time_alike(shard, name):
    fault, said = FAULTS[name], []
    with hostile(fault.reply) as server:
        for _ in range(2):
            with pytest.raises(SenseiError, match=fault.outcome) as stopped:
                shard(server)
            said.append(str(stopped.value))
            assert len(said[-1].splitlines()) <= 3 and len(said[-1]) < 1000
    ledger = shard.ledger()
    assert not shard.output.exists()
    assert ledger.spent(MODEL) >= server.usd - 1e-9
    assert (ledger.spent(MODEL) > 0) == (server.usd > 0), "what the server charges nothing for is not booked"
    assert audit.faults(ledger) == [] and audit.open_claims(ledger)[0] == 0
    if "no answers" in said[0]:
        assert said[0] == said[1], "the gate counts what was taken up"
    completions = server.usd > 0 and "no answers" in said[0]
    assert len(audit.table(ledger)) == (PAIRS if completions else 0), "what is no completion is no answer"
    assert not completions or set(server.asked.values()) == {1}, "a completion is not asked for again"


@pytest.mark.parametrize("name", PASSING)
def test_a_fault_that_passes_is_tried_again_and_no_label(shard, name):
    with hostile(FAULTS[name].reply, times=1) as server:
        assert [reply.answer.name for reply in shard(server)] == ["FIRST"] * PAIRS
    ledger = shard.ledger()
    assert set(server.asked.values()) == {2}
    assert ledger.spent(MODEL) >= server.usd - 1e-9
    assert audit.open_claims(ledger)[2] == (PAIRS if name in PAID else 0), "booked as lost, if and only if it was charged"
    assert name in PAID or ledger.spent(MODEL) == pytest.approx(server.usd)


@pytest.mark.parametrize("name", ANSWERED)
def test_odd_answers_are_answers(shard, name):
    with hostile(FAULTS[name].reply) as server:
        assert [reply.answer.name for reply in shard(server)] == ["FIRST"] * PAIRS
    assert shard.ledger().spent(MODEL) >= server.usd - 1e-9
    assert set(server.asked.values()) == {1}


@pytest.mark.parametrize("name", PAID)
def test_the_budget_holds_whatever_the_server_does(shard, name):
    limit = 0.25 if name == "ten times the tokens" else 0.01
    with hostile(FAULTS[name].reply) as server:
        for _ in range(8):
            with pytest.raises(SenseiError) as stopped:
                shard(server, max_usd=limit)
            if "max_usd" in str(stopped.value):
                break
    assert "could exceed `max_usd`" in str(stopped.value)
    assert 0 < server.usd <= shard.ledger().spent(MODEL) + 1e-9 <= limit + 2e-9


def test_a_refused_shard_passes_when_its_cause_is_mended_and_its_faults_are_forgotten(shard):
    with hostile(FAULTS["cut by its length"].reply, times=1) as server:
        for _ in range(2):
            with pytest.raises(SenseiError, match=f"{PAIRS} of {PAIRS} replies of gpt-4o are no answers"):
                shard(server)
        shard.ledger().forget("cut off")
        assert [reply.answer.name for reply in shard(server)][-PAIRS:] == ["FIRST"] * PAIRS


@pytest.mark.parametrize("name", ["error in the body", "web page", "nothing", "no text", "a refusal", "thoughts cut by their length"])
def test_a_first_turn_without_an_answer_blocks_nothing(shard, name):
    """Also where the reply is a completion: a first turn is asked until there is a description."""
    cut = Reply(200, completion("", end="length"), tokens=ANSWER.tokens)
    with hostile(cut if "cut" in name else FAULTS[name].reply) as server:
        with pytest.raises(SenseiError, match="did not answer the first turn of prompt general"):
            shard(server, "general")
        assert shard.ledger().spent(MODEL) == pytest.approx(server.usd)
    with hostile(ANSWER) as server:
        assert [reply.answer.name for reply in shard(server, "general")] == ["FIRST"] * PAIRS


@pytest.mark.parametrize("once", [True, False])
def test_an_idempotency_key_saves_what_breaks_on_the_way(shard, once):
    requests = {"at_once": PAIRS, "attempts": 4, "longest_wait": 0.02, "charged_once": once}
    with hostile(FAULTS["cut in the middle"].reply, times=2, once=True) as server:
        shard(server, requests=requests)
    assert server.usd == pytest.approx((1 if once else 3) * PAIRS * ANSWER.usd)
    assert (shard.ledger().spent(MODEL) == pytest.approx(server.usd)) == once
    assert set(server.asked.values()) == {3}


@pytest.mark.slow
def test_the_budget_holds_for_processes_side_by_side_and_through_kills(tmp_path):
    """Three at a time, killed at any point and started again, with replies that are slow, dear, and break at first."""
    files = write_study(tmp_path, 400, 40, max_usd=0.5, requests={"at_once": 8, "attempts": 3, "timeout": 20.0, "longest_wait": 0.02})
    with hostile(Reply(200, ANSWER.body, cut=60, late=0.05, tokens=(1200, 2)), times=1) as server:
        usual = environment() | {"OPENAI_BASE_URL": server.address, "OPENAI_API_KEY": SECRET}
        for kill in range(4):
            before = server.asked.total()
            side_by_side = [
                subprocess.Popen(command(files), cwd=ROOT, env=usual, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                for _ in range(3)
            ]
            deadline = time.monotonic() + 120
            while kill < 3 and server.asked.total() < before + 12 and time.monotonic() < deadline:
                time.sleep(0.01)
            for process in side_by_side if kill < 3 else []:
                process.send_signal(signal.SIGKILL)
            said = [process.communicate()[1] for process in side_by_side]
            assert server.usd <= Ledger(files.ledger).spent(MODEL) + 1e-9 <= 0.5 + 2e-9
    assert all("could exceed `max_usd`" in text for text in said), said
    assert max(server.asked.values()) <= 2 + 3, "after a kill it is asked again at most once"
