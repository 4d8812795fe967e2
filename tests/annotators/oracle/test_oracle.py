"""Oracles, raw replies, and shards that survive being killed."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.annotating import ONCE, ORACLE, ROOM, annotate, assignment, write_pairs

from sensei.annotators import shards as shards_module
from sensei.annotators.oracle.noisy_oracle import NoisyOracle
from sensei.annotators.oracle.oracle import Oracle, compare, ranks
from sensei.annotators.registry import make_annotator
from sensei.annotators.shards import annotate_shard
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.preferences.frames import Frames
from sensei.preferences.labels import merge_shards, read_labels, read_replies
from sensei.preferences.pair import Label, Pair, Reply, Side, soft_label
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import annotator_config
from sensei.study.models.annotators import NoisyOracleConfig


def room(*true: str) -> dict[str, float]:
    """State of a KeyRoom in which exactly these are true."""
    return dict.fromkeys(ROOM, 0.0) | dict.fromkeys(true, 1.0)


def chest(*true: str) -> dict[str, float]:
    """State of a KeyChest in which exactly these are true."""
    return room(*true) | {"chest_in_view": float("chest_in_view" in true)}


def test_the_room_ranking_is_that_of_the_paper():
    order = [
        room(),
        room("key_in_view"),
        room("key_held"),
        room("key_held", "closed_door_beside"),
        room("key_held", "open_door_in_view"),
        room("key_held", "open_door_in_view", "stairs_in_view"),
    ]
    assert [int(ranks(state)) for state in order] == [0, 1, 2, 3, 4, 5]
    assert ranks(room("closed_door_beside")) == 0, "a door without a key is nothing"


def test_the_chest_ranking_ignores_doors():
    order = [chest(), chest("key_in_view"), chest("chest_in_view"), chest("key_held"), chest("chest_in_view", "key_held")]
    assert [int(ranks(state)) for state in order] == [0, 1, 2, 3, 4]
    assert ranks(chest("open_door_in_view", "closed_door_beside")) == 0


def test_labels_follow_the_published_coding():
    assert [int(label) for label in Label] == [0, 1, 2, 3]
    assert [label.name for label in Label] == ["FIRST", "SECOND", "TIE", "UNKNOWN"]
    assert compare(np.array([2, 1, 3, 0]), np.array([1, 2, 3, 0])).tolist() == [0, 1, 2, 3]
    assert soft_label(np.array([0, 1, 2])).tolist() == [0, 1, 0.5]
    with pytest.raises(AssertionError):
        soft_label(np.array([3]))


def test_an_environment_without_the_needed_state_is_refused(tmp_path):
    with pytest.raises(SenseiError, match="cannot rank"):
        ranks({"x": 0.0})
    table = pd.DataFrame({"pair": [0], "first_frame": [0], "second_frame": [0], "first_state_x": [0.0], "second_state_x": [0.0]})
    table.to_parquet(tmp_path / "main.parquet")
    with pytest.raises(SenseiError, match="cannot rank"):
        annotate(tmp_path / "main.parquet", tmp_path / "shard0.jsonl")
    assert not (tmp_path / "shard0.jsonl").exists()


def test_a_reply_is_mapped_back_to_the_pairs_own_order():
    better, worse, frames = room("key_held"), room(), Frames("unused")
    for swapped, answer in ((False, Label.FIRST), (True, Label.SECOND)):
        shown = [Side(frames, 0, better), Side(frames, 1, worse)]
        [reply] = Oracle().annotate([Pair(7, swapped, *(reversed(shown) if swapped else shown))])
        assert (reply.pair, reply.answer, reply.label) == (7, answer, Label.FIRST)
        assert Reply.of(json.loads(json.dumps(reply.record())), "a line") == reply
    for symmetric in (Label.TIE, Label.UNKNOWN):
        assert Reply(0, True, "", symmetric).label is symmetric
    assert Reply(0, True, "", None, "timed out").label is None


@pytest.mark.parametrize(("planted", "bias"), [(0.85, 0.0), (0.7, 0.0), (1.0, 0.3), (0.85, 0.1)])
def test_the_noisy_oracle_is_as_noisy_as_stated(tmp_path, planted, bias):
    pairs = write_pairs(tmp_path, 6000)
    config = NoisyOracleConfig(accuracy=planted, first_bias=bias)
    annotate(pairs, tmp_path / "shard0.jsonl", config)
    card = merge_shards([tmp_path / "shard0.jsonl"], pairs, tmp_path / "labels.parquet", tmp_path / "card.json")
    expected = planted * (1 - bias) + bias / 2  # a replaced answer is right by chance, the order being random
    measured = card["oracle"]["accuracy"]
    assert measured["low"] <= expected <= measured["high"]
    # All answers are replaced alike, so those of pairs without preference become clear ones, all of them FIRST.
    replies = read_replies(tmp_path / "shard0.jsonl")
    clear_to_oracle = pd.read_parquet(tmp_path / "labels.parquet")["oracle"].isin([0, 1]).mean()
    share = ((1 - bias) / 2 * clear_to_oracle + bias) / ((1 - bias) * clear_to_oracle + bias)
    assert card["order_bias"]["low"] <= share <= card["order_bias"]["high"]
    assert card["counts"] == {label.name.lower(): sum(reply.label is label for reply in replies) for label in Label}
    if bias == 0:
        assert card["counts"]["tie"] == (pd.read_parquet(tmp_path / "labels.parquet")["oracle"] == Label.TIE).sum()


def test_answers_depend_neither_on_the_shards_nor_on_the_run(tmp_path):
    pairs, config = write_pairs(tmp_path, 300), NoisyOracleConfig(accuracy=0.7, first_bias=0.2)
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
        patch.setattr(shards_module, "make_annotator", lambda *_: Broken())
        annotate(pairs, tmp_path / "shard0.jsonl")
    flipped = annotate(pairs, tmp_path / "shard0.jsonl", NoisyOracleConfig(accuracy=0.0))
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
    card = merge_shards([output], pairs, tmp_path / "labels.parquet", tmp_path / "card.json")
    assert (card["pairs"], card["errors"], card["counts"]["tie"], card["counts"]["unknown"]) == (6, 3, 3, 0)
    assert read_labels(tmp_path / "labels.parquet")["label"].isna().tolist() == [False, False, True, False, True, True]


@pytest.mark.slow
def test_a_killed_shard_resumes_where_it_was(tmp_path):
    """SIGKILL in the middle; the finished shard is that of an undisturbed run."""
    pairs = write_pairs(tmp_path, 400)
    program = (
        "import sys, time\n"
        "from sensei.annotators import shards, oracle\n"
        "from sensei.annotators.registry import Assignment\n"
        "from sensei.config import LabelsConfig, OracleConfig\n"
        "class Slow(oracle.Oracle):\n"
        "    def annotate(self, pairs):\n"
        "        for reply in super().annotate(pairs):\n"
        "            time.sleep(0.02)\n"
        "            yield reply\n"
        "shards.make_annotator = lambda *_: Slow()\n"
        "assignment = Assignment(0, None, None, None)\n"
        "shards.annotate_shard(sys.argv[1], '', '', OracleConfig(), 0, 1, sys.argv[2], assignment, LabelsConfig(both_orders=0))\n"
    )
    output = tmp_path / "shard0.jsonl"
    root = Path(__file__).resolve().parents[2]
    process = subprocess.Popen([sys.executable, "-c", program, pairs, output], cwd=root, env=os.environ | {"OMP_NUM_THREADS": "1"})
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


@pytest.mark.parametrize(
    "line", ["{torn", "3", '{"pair": 1}', '{"pair": "1", "swapped": true, "text": "", "answer": "TIE", "error": null}',
             '{"pair": 1, "swapped": true, "text": "", "answer": "BOTH", "error": null}',
             '{"pair": 1, "swapped": true, "text": "", "answer": null, "error": null}']
)  # fmt: skip
def test_a_damaged_shard_is_named_with_its_line(tmp_path, line):
    pairs, output = write_pairs(tmp_path, 5), tmp_path / "shard0.jsonl"
    annotate(pairs, output)
    lines = output.read_text().splitlines()
    output.write_text("\n".join([lines[0], line, *lines[2:]]) + "\n")
    with pytest.raises(SenseiError, match=r"shard0.jsonl, line 2, is damaged"):
        merge_shards([output], pairs, tmp_path / "labels.parquet", tmp_path / "card.json")
    assert not (tmp_path / "labels.parquet").exists()


def test_shards_must_answer_each_pair_once(tmp_path):
    pairs = write_pairs(tmp_path, 10)
    shards = [tmp_path / f"shard{shard}.jsonl" for shard in range(2)]
    for shard, path in enumerate(shards):
        annotate(pairs, path, shard=shard, shards=2)
    outputs = tmp_path / "labels.parquet", tmp_path / "card.json"
    with pytest.raises(SenseiError, match="no shard answers pair 1: found 5 replies, expected 10"):
        merge_shards(shards[:1], pairs, *outputs)
    with pytest.raises(SenseiError, match="shard1.jsonl answers pair 1, which is not its own"):
        merge_shards([*shards, shards[1]], pairs, *outputs)
    with pytest.raises(SenseiError, match="there is no file .*shard7"):
        merge_shards([tmp_path / "shard7.jsonl"], pairs, *outputs)
    card = merge_shards(shards, pairs, *outputs)
    assert card == json.loads(outputs[1].read_text())
    table = read_labels(outputs[0])
    assert table["pair"].tolist() == list(range(10))
    assert (table["label"] == table["oracle"]).all()
    assert card["oracle"]["kappa"] == 1


def test_every_annotator_file_makes_an_annotator(tmp_path):
    pairs = write_pairs(tmp_path, 3)
    for path in (CONFIG_FOLDER / "annotators").glob("*oracle.yaml"):
        assert len(annotate(pairs, tmp_path / f"{path.stem}.jsonl", annotator_config(read_yaml(path), path.name))) == 3
    assert isinstance(make_annotator(NoisyOracleConfig(), assignment(tmp_path)), NoisyOracle)
