"""The annotator behind the OpenAI API against a real server that does everything wrong that servers do."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from fakes.asking import MODEL, annotator, counted, draw, told, truth, write_frames, write_pairs
from typer.testing import CliRunner

from sensei.__main__ import app
from sensei.annotators.ledger import Ledger
from sensei.bench.openai_server import running
from sensei.core.errors import SenseiError
from sensei.preferences.labels import read_replies
from sensei.preferences.pair import Label, Pair
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import dump_study, load_study

SECRET = "sk-planted-0123456789abcdef"
PRICES = {"input_per_million": 5.0, "output_per_million": 15.0}
BROKEN = {"429": 0.05, "500": 0.03, "502": 0.03, "503": 0.03, "529": 0.03, "dropped": 0.04, "half_sent": 0.04}
BAD_REPLIES = {"invalid_json": 0.03, "empty": 0.03, "refusal": 0.03, "outside_grammar": 0.03, "chatty": 0.03}
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server():
    with running(batch_seconds=0.1) as address:
        yield address


@pytest.fixture
def address(server, monkeypatch):
    """A server without faults that has counted nothing, where the annotator looks for it."""
    told(server, {})
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    return server


def distinct(pairs: list[Pair]) -> int:
    return len({(pair.first.frame, pair.second.frame) for pair in pairs})


@pytest.mark.parametrize("settings", [{}, {"stitched": True}, {"structured": True}, {"detail": "high"}])
def test_every_pair_gets_its_answer_and_is_bought_once(tmp_path, address, settings):
    pairs = draw(write_frames(tmp_path), 60)
    replies = list(annotator(tmp_path, **settings).annotate(pairs))
    assert [reply.pair for reply in replies] == list(range(60)), "in the order asked"
    if not settings.get("stitched"):  # the server compares two pictures
        assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["bought"] == distinct(pairs)
    again = annotator(tmp_path, **settings)
    assert list(again.annotate(pairs[:9])) + list(again.annotate(pairs[9:])) == replies
    assert counted(address)["bought"] == distinct(pairs), "the second time all comes from the ledger"
    turned = [Pair(pair.pair, True, pair.second, pair.first) for pair in pairs[:5]]
    assert [reply.label for reply in annotator(tmp_path, **settings).annotate(turned)] == [reply.label for reply in replies[:5]] or settings


def test_a_prompt_of_two_turns_asks_the_first_one_once(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 30)
    replies = list(annotator(tmp_path, "general").annotate(pairs[:15])) + list(annotator(tmp_path, "general").annotate(pairs[15:]))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["bought"] == distinct(pairs) + 1
    kept = json.loads((tmp_path / "first_turn.json").read_text())
    assert kept["reply"].startswith("I see 1 picture")
    history = annotator(tmp_path, "general").ledger.table()["earlier_turns"].map(json.loads)
    assert {tuple(turns) for turns in history if turns} == {(kept["question"], kept["reply"])}


def test_broken_requests_are_sent_again_and_nothing_is_bought_twice(tmp_path, address):
    told(address, BROKEN | BAD_REPLIES | {"bad_image": 0.02, "hang": 0.003})
    pairs = draw(write_frames(tmp_path, 80), 400)
    asked = annotator(tmp_path, requests={"timeout": 4.0})
    replies = list(asked.annotate(pairs))
    count = counted(address)
    assert count["repeated"] == 0
    assert count["requests"].keys() >= BROKEN.keys() | BAD_REPLIES.keys() | {"bad_image"}, "every fault occurred"
    rejected = [reply for reply in replies if reply.error]
    assert rejected
    assert all("rejected a picture" in reply.error for reply in rejected)
    for pair, reply in zip(pairs, replies, strict=True):
        if reply.fault:
            assert reply.answer is Label.UNKNOWN
        elif not reply.error:
            assert reply.answer is truth(pair)
    faults = Counter(reply.fault for reply in replies)
    assert faults.keys() == {None, "empty", "refused", "outside the grammar", "no chat completion"}
    assert {reply.text for reply in replies if reply.fault == "outside the grammar"} == {
        "10",
        "The first image, because the key is visible.",
    }
    statistics = asked.ledger.statistics().iloc[0]
    assert count["bought"] + len({reply.pair for reply in rejected}) >= statistics["questions"] == distinct(pairs)
    assert statistics["attempts"] > 1
    assert asked.ledger.faults() == []


def test_a_package_that_is_not_installed_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "sensei.annotators.vlm.openai.openai_api", None)
    with pytest.raises(SenseiError, match="kind openai_api needs the package .*\n-> pip install"):
        annotator(tmp_path)


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unauthorised", r"OPENAI_API_KEY was refused by 127.0.0.1:\d+ \(401\)"),
        ("forbidden", r"OPENAI_API_KEY may not use gpt-4o-2024-05-13 at 127.0.0.1:\d+ \(403\)"),
        ("quota", r"has no credit left at 127.0.0.1:\d+ \(429 insufficient_quota\)"),
    ],
)
def test_what_no_second_attempt_mends_stops_at_once(tmp_path, address, fault, message):
    told(address, {fault: 1.0})
    with pytest.raises(SenseiError, match=message):
        list(annotator(tmp_path).annotate(draw(write_frames(tmp_path), 200)))
    assert counted(address)["requests"][fault] <= 2 * 16, "no attempt but those in flight"


def test_an_unknown_model_is_named_with_those_there_are(tmp_path, address):
    with pytest.raises(SenseiError, match=rf"no model 'gpt-5-nano' \(404\): expected one of {MODEL}"):
        list(annotator(tmp_path, model="gpt-5-nano").annotate(draw(write_frames(tmp_path), 3)))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OPENAI_API_KEY", "", "OPENAI_API_KEY is not set"),
        ("OPENAI_API_KEY", "sk-broken\nline", "holds characters that no key has"),
        ("OPENAI_BASE_URL", "127.0.0.1:8000/v1", "OPENAI_BASE_URL is no address"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_is_sent(tmp_path, address, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SenseiError, match=message):
        list(annotator(tmp_path).annotate(draw(write_frames(tmp_path), 3)))
    assert counted(address)["requests"] == {}


def test_a_server_that_is_down_fails_with_a_count_and_what_was_answered_stays(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 100)
    done = list(annotator(tmp_path).annotate(pairs[:40]))
    told(address, {"503": 0.5, "dropped": 0.5})
    with pytest.raises(SenseiError, match=r"\d+ questions in a row to gpt-4o-2024-05-13 at .* failed"):
        list(annotator(tmp_path, requests={"attempts": 2}).annotate(pairs))
    told(address, {"502": 0.3})
    with pytest.raises(SenseiError, match=r"\d+ of 100 questions .* failed: found 502 .*\n-> run again"):
        list(annotator(tmp_path, requests={"attempts": 1}).annotate(pairs))
    told(address, {})
    replies = list(annotator(tmp_path).annotate(pairs))
    assert replies[:40] == done
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]


def test_too_many_unreadable_replies_are_an_error(tmp_path, address):
    told(address, {"chatty": 1.0})
    with pytest.raises(SenseiError, match="1.. of 1.. replies of .* are no answers: expected at most a share of 0.5"):
        list(annotator(tmp_path, max_unreadable=0.5).annotate(draw(write_frames(tmp_path, 60), 400)))


def test_a_server_without_structured_output_is_asked_without(tmp_path, address):
    told(address, {"no_schema": 1.0})
    pairs = draw(write_frames(tmp_path), 20)
    replies = list(annotator(tmp_path, structured=True).annotate(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert {reply.text for reply in replies} <= {"0", "1", "2"}


@pytest.mark.parametrize("batch", [False, True])
def test_a_budget_is_never_exceeded_and_what_was_bought_is_kept(tmp_path, address, batch):
    pairs = draw(write_frames(tmp_path, 60), 200)
    settings = {"prices": PRICES, "requests": {"batch": batch}}
    limit = 0.12 if batch else 0.2
    with pytest.raises(
        SenseiError, match=rf"could exceed `max_usd`: found 0\.\d+ \$ spent, expected at most {limit} \$\n-> raise `max_usd`"
    ):
        list(annotator(tmp_path, **settings, max_usd=limit).annotate(pairs))
    bought = counted(address)["bought"]
    spent = Ledger(tmp_path / "ledger.sqlite").spent(MODEL)
    assert 0.5 * limit < spent <= limit
    assert 0 < bought < distinct(pairs)
    replies = list(annotator(tmp_path, **settings, max_usd=5.0).annotate(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    assert counted(address)["repeated"] == 0
    ledger = Ledger(tmp_path / "ledger.sqlite")
    table = ledger.table()
    full = (table["input_tokens"] * 5 + table["output_tokens"] * 15) / 1e6
    assert np.allclose(table["usd"], full / 2 if batch else full)
    assert ledger.faults() == []


@pytest.mark.slow
def test_two_processes_on_one_ledger_buy_nothing_twice(tmp_path, address):
    frames = write_frames(tmp_path, 40)
    pairs = draw(frames, 300)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from asking import annotator, draw\n"
        "from sensei.annotators.frames import Frames\n"
        "folder = Path(sys.argv[1])\n"
        "pairs = draw(Frames(folder / 'frames.npz'), 300)[:: int(sys.argv[2])]\n"
        "print(''.join(str(int(reply.answer)) for reply in annotator(folder).annotate(pairs)))\n"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "OMP_NUM_THREADS": "1"}
    both = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, step], stdout=subprocess.PIPE, text=True, env=environment)
        for step in ("1", "-1")
    ]
    said = [process.communicate()[0].strip() for process in both]
    assert said[0] == said[1][::-1] == "".join(str(int(truth(pair))) for pair in pairs)
    count = counted(address)
    assert (count["bought"], count["repeated"]) == (distinct(pairs), 0)
    assert count["most_in_flight"] <= 16, "the limit holds for both together"


def test_batches_answer_all_and_buy_nothing_twice(tmp_path, address):
    told(address, {"missing": 0.1, "expired": 0.1, "duplicated": 0.1, "500": 0.1, "429": 0.05, "bad_image": 0.03} | BAD_REPLIES)
    pairs = draw(write_frames(tmp_path, 40), 200)
    replies = list(annotator(tmp_path, requests={"batch": True}).annotate(pairs))
    for pair, reply in zip(pairs, replies, strict=True):
        assert reply.error or reply.answer is (Label.UNKNOWN if reply.fault else truth(pair))
    count = counted(address)
    assert count["repeated"] == 0
    assert count["requests"].keys() >= {"missing", "expired", "duplicated", "bad_image"}
    table = annotator(tmp_path).ledger.table()
    assert len(table) == distinct(pairs)
    assert table["batch"].notna().all()


def test_a_batch_that_is_refused_is_an_error(tmp_path, address):
    with pytest.raises(SenseiError, match=r"refuses questions to gpt-9 \(batch batch-.*\): found 404"):
        list(annotator(tmp_path, model="gpt-9", requests={"batch": True}).annotate(draw(write_frames(tmp_path), 4)))
    assert Ledger(tmp_path / "ledger.sqlite").open_claims()[0] == 0


def test_batches_are_split_at_the_limits(tmp_path, address, monkeypatch):
    monkeypatch.setattr("sensei.annotators.vlm.openai.batch.MOST_REQUESTS", 30)
    monkeypatch.setattr("sensei.annotators.vlm.openai.batch.MOST_BYTES", 60_000)
    before = counted(address)["batches"]
    pairs = draw(write_frames(tmp_path), 100)
    replies = list(annotator(tmp_path, requests={"batch": True}).annotate(pairs))
    assert [reply.answer for reply in replies] == [truth(pair) for pair in pairs]
    batches = counted(address)["batches"] - before
    assert batches >= math.ceil(distinct(pairs) / 30)
    assert counted(address)["repeated"] == 0


def test_one_by_one_does_not_ask_what_a_batch_holds(tmp_path, address):
    pairs = draw(write_frames(tmp_path), 5)
    asked = annotator(tmp_path)
    questions = [asked.chat.about(pair, ()).question for pair in pairs]
    asked.ledger.claim_batch(MODEL, questions, [0.0] * 5, max_usd=None, token="t")
    with pytest.raises(SenseiError, match="a batch with questions to .* not collected"):
        list(asked.annotate(pairs))


def study_in(folder: Path, pairs: int, **changes: object) -> Path:
    """A resolved study of one annotator, gpt-4o, that asks about `pairs` pairs in one shard."""
    content = yaml.safe_load((CONFIG_FOLDER / "smoke.yaml").read_text())
    content |= {"annotators": ["gpt-4o"], "pairs": {"number": pairs, "shards": 1}, "labels": {"both_orders": 0}}
    resolved = yaml.safe_load(dump_study(load_study(content, "the test")))
    resolved["annotator_settings"]["gpt-4o"] |= changes
    path = folder / "results" / "smoke" / "study.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(yaml.safe_dump(resolved))
    return path


def command(folder: Path, study: Path) -> list[object]:
    """The command line that asks about the only shard."""
    return [sys.executable, "-m", "sensei", "annotate", "--study", study, "--environment", "minihack_keyroom_s5", "--annotator", "gpt-4o",
            "--shard", "0", "--pairs", folder / "pairs.parquet", "--frames", folder / "frames.npz",
            "--output", study.parent / "shard0.jsonl"]  # fmt: skip


def kill_at(process: subprocess.Popen, address: str, bought: int) -> None:
    """SIGKILL once the server has answered so many questions."""
    while process.poll() is None and counted(address)["bought"] < bought:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_5000_pairs_end_with_5000_answers_through_ten_kills(tmp_path, address):
    """Nothing is bought twice but what was in flight at a kill."""
    told(address, BROKEN | BAD_REPLIES | {"bad_image": 0.01, "hang": 0.0005})
    requests = {"at_once": 32, "timeout": 10.0, "longest_wait": 0.5, "attempts": 12}
    study = study_in(tmp_path, 5000, max_unreadable=1.0, requests=requests)
    write_frames(tmp_path, 120)
    write_pairs(tmp_path, 5000, 120)
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    for kill in range(10):
        process = subprocess.Popen(command(tmp_path, study), cwd=ROOT, env=environment, stderr=subprocess.DEVNULL)
        kill_at(process, address, 450 * (kill + 1))
        assert process.returncode == -signal.SIGKILL, "it was killed in the middle"
    subprocess.run(command(tmp_path, study), cwd=ROOT, env=environment, check=True, capture_output=True)
    replies = {reply.pair: reply for reply in read_replies(study.parent / "shard0.jsonl")}
    assert replies.keys() == set(range(5000))
    count, ledger = counted(address), Ledger(study.parent.parent / "ledger.sqlite")
    table = ledger.table()
    assert len(table) == 5000
    assert sum(reply.error is not None for reply in replies.values()) == (table["fault"] == "rejected").sum() < 200
    assert count["repeated"] <= 10 * 32
    assert count["repeated"] <= ledger.open_claims()[2], "whatever may have been bought twice is on the books"
    assert ledger.open_claims()[0] == 0
    assert ledger.faults() == []


@pytest.mark.slow
def test_a_batch_survives_being_killed_at_any_point(tmp_path, address):
    """SIGKILL while it is uploaded, submitted and waited for: the server gets a single batch, and each question once."""
    study = study_in(tmp_path, 300, requests={"batch": True})
    write_frames(tmp_path, 30)
    write_pairs(tmp_path, 300, 30)
    before = counted(address)
    for what in ("files", "batches", "batches"):
        process = subprocess.Popen(command(tmp_path, study), cwd=ROOT, stderr=subprocess.DEVNULL)
        while counted(address)[what] == before[what]:
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert not (study.parent / "shard0.jsonl").exists()
    subprocess.run(command(tmp_path, study), cwd=ROOT, check=True, capture_output=True)
    count = counted(address)
    assert count["batches"] - before["batches"] == 1
    assert (count["bought"], count["repeated"]) == (300, 0)
    assert len(read_replies(study.parent / "shard0.jsonl")) == 300


@pytest.mark.slow
def test_the_key_is_written_nowhere(tmp_path, address):
    """Not into logs, manifests, ledger, replies or error messages, even though the server repeats it in its own."""
    for number, faults in enumerate(
        ({"bad_image": 0.5, "429": 0.2}, {"unauthorised": 1.0}, {"503": 1.0}, {"quota": 1.0}, {"forbidden": 1.0})
    ):
        told(address, faults)
        folder = tmp_path / str(number)
        folder.mkdir()
        study = study_in(folder, 30, max_unreadable=1.0, requests={"attempts": 3, "longest_wait": 0.1, "at_once": 4})
        write_frames(folder, 10)
        write_pairs(folder, 30, 10)
        with open(folder / "log", "wb") as log:
            result = subprocess.run(command(folder, study), cwd=ROOT, stdout=log, stderr=log, check=False)
        assert (result.returncode == 0) == (number == 0)
    produced = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"log", "ledger.sqlite", "shard0.jsonl", "shard0.jsonl.manifest.json"} <= {path.name for path in produced}
    leaks = [path for path in produced if SECRET[:12].encode() in path.read_bytes()]
    assert leaks == []
    assert "the server says no to ***" in (tmp_path / "0" / "results" / "smoke" / "shard0.jsonl").read_text()


@pytest.mark.slow
def test_a_stop_signal_keeps_what_was_answered(tmp_path, address):
    study = study_in(tmp_path, 2000)
    write_frames(tmp_path, 80)
    write_pairs(tmp_path, 2000, 80)
    process = subprocess.Popen(command(tmp_path, study), cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while counted(address)["bought"] < 100:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    ledger = Ledger(study.parent.parent / "ledger.sqlite")
    assert ledger.open_claims() == (0, 0.0, 0, 0.0), "what was in flight came back"
    assert len(ledger.table()) == counted(address)["bought"] < 2000


def test_estimate_agrees_with_the_bill(tmp_path, address):
    study = study_in(tmp_path, 60, prices=PRICES)
    write_frames(tmp_path, 20)
    write_pairs(tmp_path, 60, 20)
    files = ["--pairs", tmp_path / "pairs.parquet", "--frames", tmp_path / "frames.npz"]
    estimate = [*command(tmp_path, study)[:10], *files, "--estimate"]
    said = subprocess.run(estimate, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert counted(address)["requests"] == {}, "nothing is sent"
    assert "pairs    60: 60 questions, of which the ledger answers 0" in said
    assert not (study.parent.parent / "ledger.sqlite").exists()
    subprocess.run(command(tmp_path, study), cwd=ROOT, check=True, capture_output=True)
    ledger = Ledger(study.parent.parent / "ledger.sqlite")
    tokens = int(said.split("tokens")[1].split()[0])
    assert tokens == pytest.approx(ledger.table()["input_tokens"].sum(), rel=0.1)
    again = subprocess.run(estimate, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert "pairs    60: 60 questions, of which the ledger answers 60" in again
    assert "price    0.00 $" in again


def test_the_benchmark_reports_pairs_a_second_and_the_clients_share(tmp_path, address):
    result = CliRunner().invoke(app, ["bench", "annotate", "--pairs", "200", "--json", str(tmp_path / "bench.json")])
    assert result.exit_code == 0
    measured = json.loads((tmp_path / "bench.json").read_text())
    assert measured["from_ledger"]["pairs_per_second"] > measured["asked"]["pairs_per_second"] > 1
    assert 0 < measured["asked"]["client_ms_per_pair"] < 1000 / 75, "processor time, so a busy machine does not matter"
    assert counted(address)["requests"] == {}, "it asks a server of its own"
