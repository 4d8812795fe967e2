"""Oracles: what the environment's class ranks higher, mapped back to the pair's own order, and planted faults that are as stated."""

import json

import pandas as pd
import pytest
from fakes.annotating import ORACLE, ROOM, annotate, assignment, merge, options, write_pairs

from sensei.annotators.registry import make_annotator
from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Reply, Side
from sensei.preferences.tables import read_replies

DULL = dict.fromkeys(ROOM, 0.0)


def test_a_reply_is_mapped_back_to_the_pairs_own_order(tmp_path):
    better, frames = DULL | {"key_held": 1.0}, Frames("unused")
    for swapped, answer in ((False, Label.FIRST), (True, Label.SECOND)):
        shown = [Side(frames, 0, better), Side(frames, 1, DULL)]
        asked = make_annotator(ORACLE, assignment(tmp_path))
        [reply] = asked.annotate([Pair(7, swapped, *(reversed(shown) if swapped else shown))])
        assert (reply.pair, reply.answer, reply.label) == (7, answer, Label.FIRST)
        assert Reply.of(json.loads(json.dumps(reply.record())), "a line") == reply


def test_two_states_of_one_rank_are_a_tie_or_of_no_interest(tmp_path):
    held, frames = DULL | {"key_held": 1.0}, Frames("unused")
    pairs = [Pair(number, False, Side(frames, 0, state), Side(frames, 1, state)) for number, state in enumerate((held, DULL))]
    assert [reply.answer for reply in make_annotator(ORACLE, assignment(tmp_path)).annotate(pairs)] == [Label.TIE, Label.UNKNOWN]


def test_an_environment_without_the_needed_state_is_refused(tmp_path):
    table = pd.DataFrame({"pair": [0], "first_frame": [0], "second_frame": [0], "first_state_x": [0.0], "second_state_x": [0.0]})
    table.to_parquet(tmp_path / "main.parquet")
    with pytest.raises(SenseiError, match="cannot rank"):
        annotate(tmp_path / "main.parquet", tmp_path / "shard0.jsonl")
    assert not (tmp_path / "shard0.jsonl").exists()


@pytest.mark.parametrize(("planted", "bias"), [(0.85, 0.0), (0.7, 0.0), (1.0, 0.3), (0.85, 0.1)])
def test_the_noisy_oracle_is_as_noisy_as_stated(tmp_path, planted, bias):
    pairs = write_pairs(tmp_path, 6000)
    annotate(pairs, tmp_path / "shard0.jsonl", options("noisy_oracle", accuracy=planted, first_bias=bias))
    card = merge(tmp_path, pairs, tmp_path / "shard0.jsonl")
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
