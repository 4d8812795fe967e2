"""Both orders, several views, and the gate: planted faults are measured, inconsistent answers dropped, bad labels stopped."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.annotating import ORACLE, Brighter, assignment, merge, options, write_pairs
from hypothesis import given
from hypothesis import strategies as st

from sensei.analysis import published
from sensei.annotators import shards as shards_module
from sensei.annotators.shards import annotate_shard, plan
from sensei.core.errors import SenseiError
from sensei.preferences.agreement import order_bias
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.labels import agreed
from sensei.preferences.pair import Label, Reply, Side
from sensei.preferences.tables import read_labels, read_replies
from sensei.preferences.trust import faults, lean, read_card, require_trust
from sensei.study.models.annotators import AnnotatorOptions
from sensei.study.models.preferences import LabelsConfig

BOTH = LabelsConfig(order="both")


def labelled(folder: Path, asked: AnnotatorOptions, asking: LabelsConfig, pairs: int = 1500) -> dict:
    """The card of the labels of random KeyRoom states."""
    path, output = write_pairs(folder, pairs), folder / "shard0.jsonl"
    annotate_shard(path, folder / "frames.npz", "tested", asked, 0, 1, output, assignment(folder), asking)
    return merge(folder, path, output, order=asking.order)


@pytest.mark.parametrize("bias", [0.0, 0.2, 0.8])
@pytest.mark.parametrize("accuracy", [1.0, 0.8])
def test_planted_order_bias_and_errors_are_recovered(tmp_path, bias, accuracy):
    card = labelled(tmp_path, options("noisy_oracle", accuracy=accuracy, first_bias=bias), BOTH)
    for measured, planted in (("first_twice", bias), ("second_twice", 0.0), ("swap_consistency", 1 - bias)):
        assert card[measured]["low"] <= planted <= card[measured]["high"], measured
        assert card[measured]["count"] == 1500
    # what is left when inconsistent answers are dropped has the planted error rate
    right = card["oracle"]["accuracy"]
    assert right["low"] <= accuracy <= right["high"] and right["count"] > 100
    table = read_labels(tmp_path / "labels.parquet")
    clear = table["oracle"].isin([0, 1])
    assert table.loc[clear, "label"].isin([3]).mean() == pytest.approx(bias, abs=0.06), "inconsistent answers are no labels"


@pytest.mark.parametrize("bias", [0.0, 0.2, 0.8])
def test_a_share_in_both_orders_measures_and_changes_no_label(tmp_path, bias):
    config = options("noisy_oracle", first_bias=bias)
    card = labelled(tmp_path, config, LabelsConfig(both_orders=0.4))
    assert card["swap_consistency"]["low"] <= 1 - bias <= card["swap_consistency"]["high"]
    assert 500 < card["swap_consistency"]["count"] < 700
    labels = read_labels(tmp_path / "labels.parquet")["label"]
    alone = labelled(tmp_path, config, LabelsConfig(both_orders=0))
    assert labels.equals(read_labels(tmp_path / "labels.parquet")["label"])
    assert alone["swap_consistency"] == {"share": None, "low": None, "high": None, "count": 0}


@given(st.integers(1, 300), st.floats(0, 1), st.integers(0, 99), st.sampled_from(["random", "both"]))
def test_every_pair_is_asked_once_in_each_order_at_most(pairs, share, seed, order):
    rows, swapped = plan(pairs, LabelsConfig(order=order, both_orders=share), seed)
    assert rows[:pairs].tolist() == list(range(pairs))
    asked = list(zip(rows.tolist(), swapped.tolist(), strict=True))
    assert len(set(asked)) == len(asked)
    assert order == "random" or len(asked) == 2 * pairs
    first = plan(pairs, LabelsConfig(both_orders=0), seed)[1]
    assert (swapped[:pairs] == first).all(), "the share in both orders does not change which order is first"


labels = st.one_of(st.none(), st.sampled_from(list(Label)))


@given(labels, labels, labels, labels, st.booleans())
def test_only_what_all_orders_and_views_say_is_kept(one, turned, other_view, other_turned, swapped):
    def reply(label, swap, view):
        answer = label if label is None or not swap else label.swapped
        return Reply(0, swap, "", answer, None if label is not None else "failed", view)

    replies = [reply(one, swapped, "left"), reply(other_view, swapped, "right")]
    replies += [reply(turned, not swapped, "left"), reply(other_turned, not swapped, "right")]
    for order, counted in (("random", {one, other_view}), ("both", {one, other_view, turned, other_turned})):
        expected = None if None in counted else one if len(counted) == 1 else Label.UNKNOWN
        assert agreed(replies, order) is expected


def frames_of_two_views(path: Path) -> Path:
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 256, (2, 5, 8, 8, 3), np.uint8)
    save_frames(path, {"left": left, "right": right}, np.zeros((5, 1), np.float32))
    return path


def test_a_pair_is_kept_if_all_views_agree(tmp_path, monkeypatch):
    monkeypatch.setattr(shards_module, "make_annotator", Brighter)
    path, asking = write_pairs(tmp_path, 60), LabelsConfig(order="both", views=["left", "right"])
    frames, output = frames_of_two_views(tmp_path / "frames.npz"), tmp_path / "shard0.jsonl"
    annotate_shard(path, frames, "tested", ORACLE, 0, 1, output, assignment(tmp_path), asking)
    assert len(read_replies(output)) == 4 * 60
    card = merge(tmp_path, path, output, order="both")
    table, bright = pd.read_parquet(path), {view: Frames(frames).of(view).mean((1, 2, 3)) for view in asking.views}
    expected = []
    for first, second in table[["first_frame", "second_frame"]].to_numpy():
        said = {Label.TIE if first == second else Label.FIRST if b[first] > b[second] else Label.SECOND for b in bright.values()}
        expected.append(said.pop() if len(said) == 1 else Label.UNKNOWN)
    assert read_labels(tmp_path / "labels.parquet")["label"].tolist() == expected
    assert {Label.UNKNOWN, Label.FIRST} <= set(expected)
    assert card["view_consistency"]["share"] == pytest.approx(np.mean([label is not Label.UNKNOWN for label in expected]))
    assert card["swap_consistency"] == card["swap_consistency"] | {"share": 1.0, "count": 120}


def test_frames_of_one_view_know_no_other(tmp_path):
    frames = Frames(frames_of_two_views(tmp_path / "frames.npz"))
    assert (Side(frames, 3, {}).image == Side(frames, 3, {}, "left").image).all()
    assert (Side(frames, 3, {}).image != Side(frames, 3, {}, "right").image).any()
    with pytest.raises(SenseiError, match="not drawn in the view 'top': expected one of left, right"):
        Side(frames, 3, {}, "top").image  # noqa: B018
    (tmp_path / "torn.npz").write_bytes((tmp_path / "frames.npz").read_bytes()[:-30])
    with pytest.raises(SenseiError, match="torn.npz are damaged"):
        Frames(tmp_path / "torn.npz").of("left")


def published_card(annotator: str) -> dict:
    """What a label card says of a published set of labels."""
    row = published.label_shares().set_index("annotator").loc[annotator]
    counts = [row["first"], row["second"], row["tie"], row["unknown"]]
    shares = dict(zip(("first", "second", "tie", "unknown"), np.array(counts) / row["pairs"], strict=True))
    return {"shares": shares, "order_bias": order_bias(np.repeat(np.arange(4), counts)), "swap_consistency": None, "oracle": None}


def test_llavas_published_labels_are_stopped_and_gpt4s_are_not():
    assert published_card("llava")["shares"]["first"] == pytest.approx(0.833, abs=1e-3)
    with pytest.raises(SenseiError) as stopped:
        require_trust(published_card("llava"), LabelsConfig(), "llava", "robodesk")
    message = str(stopped.value)
    assert "labels of llava for robodesk" in message and "96.1% [95.9%, 96.2%] of 86,704" in message and "order: both" in message
    assert 1 <= len(message.splitlines()) <= 3
    for annotator in ("gpt4", "gpt4general"):
        assert faults(published_card(annotator), LabelsConfig()) == []


def test_an_annotator_that_answers_by_position_is_stopped(tmp_path):
    card = labelled(tmp_path, options("noisy_oracle", first_bias=0.8), LabelsConfig(both_orders=0.4))
    found = faults(card, LabelsConfig())
    assert len(found) == 3 and "position decides" in found[0] and "change places" in found[1] and "agree with the oracle" in found[2]
    assert faults(labelled(tmp_path, options("noisy_oracle", accuracy=0.85), LabelsConfig(both_orders=0.4)), LabelsConfig()) == []


def test_every_limit_can_stop_and_none_does_when_off(tmp_path):
    card = labelled(tmp_path, options("noisy_oracle", accuracy=0.9, first_bias=0.3), LabelsConfig(both_orders=0.5))
    off = dict.fromkeys(("largest_order_bias", "smallest_swap_consistency", "smallest_agreement", "largest_unknown"))
    assert faults(card, LabelsConfig(**off)) == []
    strict = {"largest_order_bias": 0.01, "smallest_swap_consistency": 0.99, "smallest_agreement": 0.99, "largest_unknown": 0.001}
    for key, limit in strict.items():
        [fault] = faults(card, LabelsConfig(**(off | {key: limit})))
        assert f"labels.{key}" in fault


def test_a_small_set_is_not_refused_by_chance():
    few = order_bias(np.array([0, 0, 0, 0, 1]))
    card = {"shares": {"unknown": 0.0}, "order_bias": few, "swap_consistency": None, "oracle": None}
    assert lean(few)["share"] == pytest.approx(0.6) and faults(card, LabelsConfig(largest_order_bias=0.5)) == []
    many = {**card, "order_bias": order_bias(np.repeat([0, 1], [800, 200]))}
    assert len(faults(many, LabelsConfig(largest_order_bias=0.5))) == 1
    nothing = {**card, "order_bias": order_bias(np.array([2, 3])), "shares": {"unknown": None}}
    assert faults(nothing, LabelsConfig(largest_unknown=0.1)) == []


@given(st.integers(0, 50), st.integers(0, 50))
def test_a_lean_is_the_same_to_either_side(first, second):
    one, other = (lean(order_bias(np.repeat([0, 1], counts))) for counts in ((first, second), (second, first)))
    if first + second:
        assert one == pytest.approx(other) and 0 <= one["low"] <= one["share"] <= one["high"] <= 1
    else:
        assert one["share"] is None


def test_a_card_on_disk_is_the_card(tmp_path):
    assert labelled(tmp_path, ORACLE, BOTH, 50) == json.loads((tmp_path / "card.json").read_text())


def test_a_card_of_another_kind_is_refused_with_what_is_wrong_in_it(tmp_path):
    card = labelled(tmp_path, ORACLE, LabelsConfig(), pairs=50)
    path = tmp_path / "read.json"
    for content, found in (
        (card, None),
        ([1, 2], "valid dictionary"),
        ({"chosen_epoch": 3, "held_out": 0.9}, "`order_bias`"),
        (card | {"order_bias": {"share": "much"}}, "`order_bias.share`"),
        (card | {"shares": {}}, "`shares.unknown`"),
        (card | {"oracle": {"kappa": 1}}, "`oracle.accuracy`"),
    ):
        path.write_text(json.dumps(content))
        if found is None:
            assert read_card(path) == json.loads(json.dumps(card))
        else:
            with pytest.raises(SenseiError, match=f"no card of labels: found .*{found}"):
                read_card(path)
