"""Shards: the same answers however the pairs are split, and none asked twice wherever a shard is interrupted."""

import signal
import subprocess
import sys
import time

import pytest
from fakes.annotating import ONCE, ORACLE, annotate, assignment, merge, options, write_pairs
from helpers import ROOT, environment

from sensei.annotators import shards as shards_module
from sensei.annotators.oracle.oracle import Oracle
from sensei.annotators.shards import annotate_shard
from sensei.preferences.pair import Label, Reply
from sensei.preferences.tables import read_labels, read_replies


def test_answers_depend_neither_on_the_shards_nor_on_the_run(tmp_path):
    pairs, config = write_pairs(tmp_path, 300), options("noisy_oracle", accuracy=0.7, first_bias=0.2)
    whole = {reply.pair: reply for reply in annotate(pairs, tmp_path / "whole.jsonl", config)}
    assert {reply.swapped for reply in whole.values()} == {True, False}
    for shard in range(3):
        for reply in annotate(pairs, tmp_path / f"shard{shard}.jsonl", config, shard, 3):
            assert whole.pop(reply.pair) == reply
    assert whole == {}
    other = annotate(pairs, tmp_path / "other.jsonl", config, seed=1)
    assert [reply.answer for reply in other] != [reply.answer for reply in read_replies(tmp_path / "whole.jsonl")]


def test_an_interrupted_shard_asks_only_what_is_unasked(tmp_path, monkeypatch):
    pairs, output, asked = write_pairs(tmp_path, 50), tmp_path / "shard0.jsonl", []

    class Listening(Oracle):
        def __init__(self, patience):
            super().__init__(ORACLE, assignment(tmp_path))
            self.patience = patience

        def annotate(self, pairs):
            for reply in super().annotate(pairs):
                if self.patience == 0:
                    raise KeyboardInterrupt
                self.patience -= 1
                asked.append(reply.pair)
                yield reply

    for patience in (20, 15):
        monkeypatch.setattr(shards_module, "make_annotator", lambda *_, patience=patience: Listening(patience))
        with pytest.raises(KeyboardInterrupt):
            annotate(pairs, output)
        assert not output.exists()
        [partial] = tmp_path.glob(".shard0.*.partial.jsonl")
        partial.write_bytes(partial.read_bytes() + b'{"pair": 49, "swap')  # torn by the kill
    monkeypatch.setattr(shards_module, "make_annotator", lambda *_: Listening(-1))
    replies = annotate(pairs, output)
    assert asked == [reply.pair for reply in replies] == list(range(50))
    assert not list(tmp_path.glob(".shard0*"))


def test_replies_to_another_configuration_are_not_taken_up(tmp_path, monkeypatch):
    class Broken(Oracle):
        def annotate(self, pairs):
            yield next(super().annotate(pairs))
            raise KeyboardInterrupt

    pairs = write_pairs(tmp_path, 40)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shards_module, "make_annotator", lambda *_: Broken(ORACLE, assignment(tmp_path)))
        annotate(pairs, tmp_path / "shard0.jsonl")
    flipped = annotate(pairs, tmp_path / "shard0.jsonl", options("noisy_oracle", accuracy=0.0))
    assert [reply.pair for reply in flipped] == list(range(40))
    assert [reply.answer for reply in flipped] == [reply.answer.swapped for reply in annotate(pairs, tmp_path / "o.jsonl")]


def test_failed_requests_are_asked_again_and_never_become_labels(tmp_path, monkeypatch):
    class Failing:
        def __init__(self, fails):
            self.fails = fails

        def annotate(self, pairs):
            for pair in pairs:
                if pair.pair == 4 and not self.fails:
                    raise KeyboardInterrupt
                failed = self.fails or pair.pair == 2
                yield Reply(pair.pair, pair.swapped, "", None, "refused") if failed else Reply(pair.pair, pair.swapped, "tie", Label.TIE)

    pairs, output = write_pairs(tmp_path, 6), tmp_path / "shard0.jsonl"
    monkeypatch.setattr(shards_module, "make_annotator", lambda *_: Failing(fails=False))
    with pytest.raises(KeyboardInterrupt):
        annotate(pairs, output)
    monkeypatch.setattr(shards_module, "make_annotator", lambda *_: Failing(fails=True))
    assert [reply.pair for reply in annotate(pairs, output)] == [0, 1, 2, 3, 2, 4, 5]
    card = merge(tmp_path, pairs, output)
    assert (card["pairs"], card["errors"], card["counts"]["tie"], card["counts"]["unknown"]) == (6, 3, 3, 0)
    assert read_labels(tmp_path / "labels.parquet")["label"].isna().tolist() == [False, False, True, False, True, True]


@pytest.mark.slow
def test_a_killed_shard_resumes_where_it_was(tmp_path):
    """SIGKILL in the middle; the finished shard is that of an undisturbed run."""
    pairs = write_pairs(tmp_path, 400)
    program = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from fakes.annotating import ONCE, ORACLE, assignment\n"
        "from sensei.annotators import shards\n"
        "from sensei.annotators.oracle.oracle import Oracle\n"
        "class Slow(Oracle):\n"
        "    def annotate(self, pairs):\n"
        "        for reply in super().annotate(pairs):\n"
        "            time.sleep(0.02)\n"
        "            yield reply\n"
        "shards.make_annotator = Slow\n"
        "output = Path(sys.argv[2])\n"
        "shards.annotate_shard(sys.argv[1], '', '', ORACLE, 0, 1, output, assignment(output.parent), ONCE)\n"
    )
    output = tmp_path / "shard0.jsonl"
    importable = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    process = subprocess.Popen([sys.executable, "-c", program, pairs, output], env=importable)
    deadline = time.monotonic() + 60
    while sum(len(file.read_bytes()) for file in tmp_path.glob(".shard0*")) < 2000 and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    [partial] = tmp_path.glob(".shard0*")
    begun = partial.read_bytes()
    assert len(begun) >= 2000
    assert not output.exists()
    annotate_shard(pairs, "", "", ORACLE, 0, 1, output, assignment(tmp_path), ONCE)
    assert output.read_bytes().startswith(begun[: begun.rfind(b"\n") + 1])
    annotate_shard(pairs, "", "", ORACLE, 0, 1, tmp_path / "undisturbed.jsonl", assignment(tmp_path), ONCE)
    assert output.read_bytes() == (tmp_path / "undisturbed.jsonl").read_bytes()
