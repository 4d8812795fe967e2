"""The Batch API: as many batches as the limits need, none twice, wherever a process is killed."""

import math
import signal
import subprocess
import time

import pytest
from fakes.asking import BAD_REPLIES, MODEL, asking, command, counted, distinct, draw, shard_of, told, truth, write_frames, write_study
from helpers import ROOT, environment

from sensei.annotators import audit
from sensei.annotators.ledger import Ledger
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label
from sensei.preferences.tables import read_replies


def test_batches_answer_all_and_buy_nothing_twice(tmp_path, address):
    told(address, {"missing": 0.1, "expired": 0.1, "duplicated": 0.1, "500": 0.1, "429": 0.05, "bad_image": 0.03} | BAD_REPLIES)
    pairs = draw(write_frames(tmp_path, 40), 200)
    replies = list(asking(tmp_path, requests={"batch": True}).replies(pairs))
    for pair, reply in zip(pairs, replies, strict=True):
        assert reply.error or reply.answer is (Label.UNKNOWN if reply.fault else truth(pair))
    count = counted(address)
    assert count["repeated"] == 0
    assert count["requests"].keys() >= {"missing", "expired", "duplicated", "bad_image"}
    table = audit.table(asking(tmp_path).ledger)
    rejected = {(pairs[reply.pair].first.frame, pairs[reply.pair].second.frame) for reply in replies if reply.error}
    assert len(table) == distinct(pairs) - len(rejected)
    assert table["batch"].notna().all()


def test_a_batch_that_is_refused_is_an_error(tmp_path, address):
    with pytest.raises(SenseiError, match=r"refuses questions to gpt-9 \(batch batch-.*\): found 404"):
        list(asking(tmp_path, model="gpt-9", requests={"batch": True}).replies(draw(write_frames(tmp_path), 4)))
    assert audit.open_claims(Ledger(tmp_path / "ledger.sqlite"))[0] == 0


def test_batches_are_split_at_the_limits(tmp_path, address, monkeypatch):
    monkeypatch.setattr("sensei.annotators.vlm.openai.batch.MOST_REQUESTS", 30)
    monkeypatch.setattr("sensei.annotators.vlm.openai.batch.MOST_BYTES", 60_000)
    before = counted(address)["batches"]
    pairs = draw(write_frames(tmp_path), 100)
    replies = list(asking(tmp_path, requests={"batch": True}).replies(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    batches = counted(address)["batches"] - before
    assert batches >= math.ceil(distinct(pairs) / 30)
    assert counted(address)["repeated"] == 0


def test_one_by_one_does_not_ask_what_a_batch_holds(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 5)
    asked = asking(tmp_path)
    questions = [asked.chat.about(pair).question for pair in pairs]
    asked.ledger.claim_batch(MODEL, questions, [0.0] * 5, max_usd=None, token="t")
    with pytest.raises(SenseiError, match="a batch with questions to .* not collected"):
        list(asked.replies(pairs))


@pytest.mark.slow
def test_a_batch_survives_being_killed_at_any_point(tmp_path, address):
    """SIGKILL while it is uploaded, submitted and waited for: the server gets a single batch, and each question once."""
    files = write_study(tmp_path, 300, 30, requests={"batch": True})
    before = counted(address)
    for what in ("files", "batches", "batches"):
        process = subprocess.Popen(command(files), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
        while counted(address)[what] == before[what]:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (shard_of(files)).exists()
    subprocess.run(command(files), cwd=ROOT, env=environment(), check=True, capture_output=True)
    count = counted(address)
    assert count["batches"] - before["batches"] == 1
    assert (count["bought"], count["repeated"]) == (300, 0)
    assert len(read_replies(shard_of(files))) == 300
