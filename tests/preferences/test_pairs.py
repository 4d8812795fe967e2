"""Pairs of frames: different episodes, unique, in random order, the same every time, and a faithful table."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.pairs import PIECE, draw_pairs, make_pairs
from sensei.preferences.tables import questions, read_pairs, states
from sensei.replay.episodes import collect, episode_name, load_episode, save_episode
from sensei.study.models.preferences import PairsConfig

NAMES = ["key_held", "x"]


def make_collection(folder, lengths, first=0):
    """Episodes of the given lengths. Frame t of episode k has brightness 10 * k + t, modulo 200, and state (k, t)."""
    for k, steps in enumerate(lengths, first):
        time = np.arange(steps)
        picture = ((10 * k + time) % 200).astype(np.uint8)[:, None, None, None]
        episode = {
            "image": np.broadcast_to(picture, (steps, 8, 8, 3)),
            "annotator_image": np.broadcast_to(picture, (steps, 6, 6, 3)),
            "flags": np.zeros((steps, 1), np.float32),
            "action": np.zeros(steps, np.int64),
            "reward": np.zeros(steps, np.float32),
            "is_first": time == 0,
            "is_last": time == steps - 1,
            "is_terminal": np.zeros(steps, bool),
            "events": np.zeros((steps, 1), np.float32),
            "state": np.stack([np.full(steps, k), time], 1).astype(np.float32),
            "event_names": np.array(["key_picked_up"]),
            "state_names": np.array(NAMES),
        }
        save_episode(folder / "run" / episode_name(0, k), episode)
    collect(folder / "run", folder)
    return folder


def offered(lengths):
    """Unordered pairs of steps of different groups, counted the slow way."""
    return sum(a * b for i, a in enumerate(lengths) for b in lengths[i + 1 :])


@given(st.lists(st.integers(1, 12), min_size=2, max_size=8), st.integers(0, 2**32), st.data())
@settings(deadline=None, max_examples=60)
def test_drawn_pairs_are_different_unique_and_reproducible(lengths, seed, data):
    groups = np.repeat(np.arange(len(lengths)), lengths)
    number = data.draw(st.integers(1, offered(lengths)))
    pairs = draw_pairs(groups, number, generator(seed))
    assert pairs.shape == (number, 2)
    assert (groups[pairs[:, 0]] != groups[pairs[:, 1]]).all()
    assert len({frozenset(pair) for pair in pairs.tolist()}) == number
    np.testing.assert_array_equal(pairs, draw_pairs(groups, number, generator(seed)))


@given(st.lists(st.integers(1, 12), min_size=1, max_size=8))
@settings(deadline=None, max_examples=30)
def test_one_pair_more_than_there_are_is_refused(lengths):
    with pytest.raises(SenseiError, match=f"found {offered(lengths)} pairs between {len(lengths)}"):
        draw_pairs(np.repeat(np.arange(len(lengths)), lengths), offered(lengths) + 1, generator(0))


def test_draws_are_uniform_and_shuffled():
    lengths = [3, 1, 4, 2]
    groups = np.repeat(np.arange(4), lengths)
    counts = np.zeros((10, 10))
    for seed in range(3000):
        first, second = draw_pairs(groups, 1, generator(seed))[0]
        counts[first, second] += 1
    allowed = groups[:, None] != groups
    assert counts[~allowed].sum() == 0
    expected = 3000 / allowed.sum()  # of every ordered pair; 5 standard deviations of a Poisson count
    assert np.abs(counts[allowed] - expected).max() < 5 * np.sqrt(expected)
    long = draw_pairs(np.repeat(np.arange(50), 40), 2000, generator(1))
    for side in (0, 1):
        assert abs(np.corrcoef(np.arange(2000), long[:, side])[0, 1]) < 0.1


def test_the_table_says_what_each_side_is(tmp_path):
    collections = {5: make_collection(tmp_path / "five", [4, 6]), 7: make_collection(tmp_path / "seven", [3], first=2)}
    table = make_pairs(collections, PairsConfig(number=30, seeds=[5, 7]), 0, tmp_path / "main.parquet", tmp_path / "main.frames.npz")
    pd.testing.assert_frame_equal(read_pairs(tmp_path / "main.parquet"), table)
    frames = Frames(tmp_path / "main.frames.npz")
    assert table["pair"].tolist() == list(range(30))
    assert (table["first_episode"] != table["second_episode"]).all()
    for side in ("first_", "second_"):
        for row in table.to_dict("records"):
            episode = load_episode(collections[row[f"{side}seed"]] / "episodes" / row[f"{side}file"])
            time, frame = row[f"{side}time"], row[f"{side}frame"]
            np.testing.assert_array_equal(frames.image[frame], episode["annotator_image"][time])
            np.testing.assert_array_equal(frames.flags[frame], episode["flags"][time])
            assert [row[f"{side}state_{name}"] for name in NAMES] == episode["state"][time].tolist()
        assert list(states(table, side)) == NAMES


def test_frames_that_look_alike_are_stored_once(tmp_path):
    folder = make_collection(tmp_path, [20, 20])
    table = make_pairs({0: folder}, PairsConfig(number=300), 0, tmp_path / "main.parquet", tmp_path / "main.frames.npz")
    frames = Frames(tmp_path / "main.frames.npz")
    assert len(frames.image) == len(np.unique(frames.image[:, 0, 0, 0])) == 30  # brightness 0..19 and 10..29
    assert (table["first_frame"] == table["second_frame"]).any()  # the same picture in two episodes is a pair like any other


def test_pairs_are_the_same_every_time_and_differ_between_seeds(tmp_path):
    folder = make_collection(tmp_path, [9, 9])
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        make_pairs({0: folder}, PairsConfig(number=20), seed, tmp_path / f"{name}.parquet", tmp_path / f"{name}.frames.npz")
    for kind in ("parquet", "frames.npz"):
        a, b, c = ((tmp_path / f"{name}.{kind}").read_bytes() for name in "abc")
        assert a == b != c


def test_a_single_episode_is_cut_into_pieces(tmp_path):
    folder = make_collection(tmp_path / "long", [2 * PIECE])
    table = make_pairs({0: folder}, PairsConfig(number=500), 0, tmp_path / "main.parquet", tmp_path / "main.frames.npz")
    assert (table["first_time"] // PIECE != table["second_time"] // PIECE).all()
    folder = make_collection(tmp_path / "short", [PIECE])
    with pytest.raises(SenseiError, match="found 0 pairs"):
        make_pairs({0: folder}, PairsConfig(number=1), 0, tmp_path / "none.parquet", tmp_path / "none.frames.npz")
    assert not list(tmp_path.glob("none*"))


def test_questions_turn_the_sides_round_where_asked(tmp_path):
    folder = make_collection(tmp_path, [9, 9])
    table = make_pairs({0: folder}, PairsConfig(number=10), 0, tmp_path / "main.parquet", tmp_path / "main.frames.npz")
    frames = Frames(tmp_path / "main.frames.npz")
    straight, turned = (list(questions(table, frames, np.full(10, swapped))) for swapped in (False, True))
    for a, b in zip(straight, turned, strict=True):
        assert (a.pair, a.swapped, b.swapped) == (b.pair, False, True)
        assert (a.first, a.second) == (b.second, b.first)
        np.testing.assert_array_equal(a.first.image, frames.image[table["first_frame"][a.pair]])
        assert a.first.state == {name: table[f"first_state_{name}"][a.pair] for name in NAMES}


def test_damaged_files_are_named(tmp_path):
    folder = make_collection(tmp_path, [9, 9])
    pairs, frames = tmp_path / "main.parquet", tmp_path / "main.frames.npz"
    table = make_pairs({0: folder}, PairsConfig(number=10), 0, pairs, frames)
    frames.write_bytes(frames.read_bytes()[:-30])
    with pytest.raises(SenseiError, match="main.frames.npz are damaged"):
        _ = Frames(frames).image
    save_frames(frames, {"default": np.zeros((2, 3, 3, 3), np.uint8)}, np.zeros((1, 1), np.float32))
    with pytest.raises(SenseiError, match="main.frames.npz are damaged"):
        _ = Frames(frames).image
    table.iloc[1:].to_parquet(pairs)
    with pytest.raises(SenseiError, match="main.parquet are damaged"):
        read_pairs(pairs)
    pairs.write_bytes(b"no table")
    with pytest.raises(SenseiError, match="main.parquet are damaged"):
        read_pairs(pairs)
    (folder / "index.parquet").write_bytes(b"no table")
    with pytest.raises(SenseiError, match="index.parquet is damaged"):
        make_pairs({0: folder}, PairsConfig(number=10), 0, pairs, frames)


def test_an_episode_unlike_its_index_is_named(tmp_path):
    folder = make_collection(tmp_path, [9, 9])
    other = make_collection(tmp_path / "other", [5])
    (folder / "episodes" / episode_name(0, 1)).write_bytes((other / "episodes" / episode_name(0, 0)).read_bytes())
    with pytest.raises(SenseiError, match="worker00-000001.npz is not like"):
        make_pairs({0: folder}, PairsConfig(number=60), 0, tmp_path / "main.parquet", tmp_path / "main.frames.npz")
