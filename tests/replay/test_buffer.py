"""Replay on counting data: every stored step says which worker, episode and step it is."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from sensei.replay.buffer import Replay

SPEC = {
    "worker": ((), np.dtype(np.int64)),
    "episode": ((), np.dtype(np.int64)),
    "step": ((), np.dtype(np.int64)),
    "number": ((), np.dtype(np.int64)),
    "image": ((2, 2, 3), np.dtype(np.uint8)),
    "flags": ((2,), np.dtype(np.uint8)),
    "is_first": ((), np.dtype(bool)),
    "is_terminal": ((), np.dtype(bool)),
}


class Counter:
    """Feeds a replay with counting data; episode lengths come from a repeating list per worker."""

    def __init__(self, lengths: list[list[int]]):
        self.lengths = lengths
        self.episode, self.step, self.number = ([0] * len(lengths) for _ in range(3))

    def rows(self) -> dict[str, np.ndarray]:
        workers = range(len(self.lengths))
        length = [self.lengths[w][self.episode[w] % len(self.lengths[w])] for w in workers]
        rows = {
            "worker": np.array(workers),
            "episode": np.array(self.episode),
            "step": np.array(self.step),
            "number": np.array(self.number),
            "image": np.stack([np.full((2, 2, 3), self.number[w] % 256, np.uint8) for w in workers]),
            "flags": np.array([[1, self.step[w] >= 3] for w in workers], np.uint8),  # the second one turns on at the fourth step
            "is_first": np.array([self.step[w] == 0 for w in workers]),
            "is_terminal": np.array([self.step[w] == length[w] - 1 for w in workers]),
        }
        for w in workers:
            self.number[w] += 1
            over = self.step[w] == length[w] - 1
            self.episode[w], self.step[w] = self.episode[w] + over, 0 if over else self.step[w] + 1
        return rows


def filled(folder: Path, lengths: list[list[int]], capacity: int, steps: int, slack: int = 5, **options) -> tuple[Replay, Counter]:
    replay, counter = Replay(folder, SPEC, capacity, len(lengths), slack, **options), Counter(lengths)
    for _ in range(steps):
        replay.add(counter.rows())
    return replay, counter


lengths_of_workers = st.lists(st.lists(st.integers(1, 12), min_size=1, max_size=4), min_size=1, max_size=3)


@settings(deadline=None, max_examples=60)
@given(lengths_of_workers, st.integers(4, 80), st.integers(1, 70), st.integers(1, 9), st.integers(0, 1000))
def test_windows_never_cross_an_episode_and_hold_the_newest_steps(lengths, capacity, steps, length, seed):
    with tempfile.TemporaryDirectory() as folder:
        replay, counter = filled(Path(folder), lengths, capacity, steps)
        readable = max(capacity // len(lengths), 2)
        assert len(replay) == len(lengths) * min(steps, readable)
        sample = replay.sample(6, length, np.random.default_rng(seed))
    assert sample["is_first"][:, 0].all()
    follows = ~sample["is_first"][:, 1:]
    for key, change in (("worker", 0), ("episode", 0), ("step", 1), ("number", 1)):
        assert (np.diff(sample[key], axis=1)[follows] == change).all(), key
    assert not sample["is_terminal"][:, :-1][follows].any()
    assert (sample["number"] >= np.array(counter.number)[sample["worker"]] - readable).all()
    assert (sample["number"] < np.array(counter.number)[sample["worker"]]).all()
    assert (sample["image"] == (sample["number"] % 256)[..., None, None, None]).all()


@given(lengths_of_workers, st.integers(8, 60), st.integers(20, 80), st.integers(2, 15), st.integers(0, 5))
def test_windows_hold_a_flag_that_turns_on_where_they_should(lengths, capacity, steps, length, seed):
    """Each with the step before; never one that has left the ring; every one of them."""
    with tempfile.TemporaryDirectory() as folder:
        replay, _ = filled(Path(folder), lengths, capacity, steps, flag_windows=1.0)
        uniform, _ = filled(Path(folder) / "uniform", lengths, capacity, steps)
        batch, seen = replay.sample(60, length, np.random.default_rng(seed)), set()
        there = uniform.sample(400, length, np.random.default_rng(seed))
        fields = (there[key].ravel() for key in ("worker", "number", "step", "is_first"))
        can = {(worker, number) for worker, number, step, first in zip(*fields, strict=True) if step == 3 and not first}
        for row in range(60):
            first = 1 + int(np.argmax(np.append(batch["is_first"][row, 1:], True)))
            turn = np.flatnonzero(batch["step"][row, 1:first] == 3) + 1
            assert (len(turn) == 1) or not can
            seen |= {(batch["worker"][row, t], batch["number"][row, t]) for t in turn}
    assert can <= seen or len(can) > 6, "one of them is never drawn"


def test_a_share_of_the_windows_holds_one(tmp_path):
    replay, _ = filled(tmp_path, [[200]], 400, 400, flag_windows=0.3)
    steps = replay.sample(2000, 10, np.random.default_rng(0))["step"]
    held = ((steps[:, :-1] == 2) & (steps[:, 1:] == 3)).any(1).mean()
    assert abs(held - (0.3 + 0.7 * 9 / 200)) < 0.04
    places = np.argmax(steps == 3, 1)[(steps == 3).any(1)]
    assert set(places) <= set(range(10)), "an episode that begins three steps before leaves no room for more"


def test_a_new_window_in_a_row_begins_with_its_episode(tmp_path):
    replay, _ = filled(tmp_path, [[5, 3, 9]], 1000, 170)
    sample = replay.sample(200, 12, np.random.default_rng(0))
    assert (sample["step"][:, 1:][sample["is_first"][:, 1:]] == 0).all()
    assert (sample["step"][:, 0] > 0).any()


@pytest.mark.parametrize("capacity", [10_000, 40])
@pytest.mark.parametrize("lengths", [[[2, 9, 5], [30]], [[1], [20]], [[3, 4, 100]]])
def test_every_step_is_sampled_equally_often_at_every_place(tmp_path, lengths, capacity):
    """Also where episodes are shorter than a row, cut off by the ring, or not finished. One place a row, as steps of a row depend."""
    replay, _ = filled(tmp_path, lengths, capacity, 47)
    sample = replay.sample(40 * len(replay), 8, np.random.default_rng(0))
    for place in range(8):
        key = 1000 * sample["worker"][:, place] + sample["number"][:, place]
        counts = np.unique_counts(key).counts
        assert len(counts) == len(replay)
        assert chisquare(counts).pvalue > 1e-4, place


def test_the_ring_forgets_the_oldest_steps(tmp_path):
    replay, _ = filled(tmp_path, [[7], [4]], capacity=20, steps=95)
    assert len(replay) == 20
    sample = replay.sample(300, 5, np.random.default_rng(0))
    for worker in range(2):
        assert set(sample["number"][sample["worker"] == worker]) == set(range(85, 95))


def test_equal_streams_give_equal_samples(tmp_path):
    replay, _ = filled(tmp_path, [[7], [4]], 100, 60)
    first, second, other = (replay.sample(4, 9, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert all(np.array_equal(first[key], second[key]) for key in SPEC)
    assert not np.array_equal(first["number"], other["number"])


@pytest.mark.parametrize("steps", [6, 40])
def test_restored_replay_holds_exactly_the_steps_of_the_checkpoint(tmp_path, steps):
    """Steps that came after the checkpoint, within the slack, have overwritten none that it can sample; the file is opened anew."""
    replay, counter = filled(tmp_path, [[7], [4, 11]], capacity=30, steps=steps, slack=10)
    saved = replay.checkpoint()
    before = replay.sample(50, 9, np.random.default_rng(5))
    for _ in range(10):
        replay.add(counter.rows())
    assert not np.array_equal(before["number"], replay.sample(50, 9, np.random.default_rng(5))["number"])
    again = Replay(tmp_path, SPEC, 30, 2, slack=10)
    again.restore(saved)
    after = again.sample(50, 9, np.random.default_rng(5))
    assert all(np.array_equal(before[key], after[key]) for key in SPEC)


@pytest.mark.parametrize("share", [0, 0.5])
def test_a_restored_replay_goes_on_as_if_never_stopped(share, tmp_path):
    straight, counter = filled(tmp_path / "straight", [[7], [4, 11]], 30, 40, flag_windows=share)
    replay, same = filled(tmp_path / "stopped", [[7], [4, 11]], 30, 40, flag_windows=share)
    again = Replay(tmp_path / "stopped", SPEC, 30, 2, slack=5, flag_windows=share)
    again.restore(replay.checkpoint())
    for _ in range(25):
        straight.add(counter.rows())
        again.add(same.rows())
    first, second = straight.sample(50, 9, np.random.default_rng(5)), again.sample(50, 9, np.random.default_rng(5))
    assert all(np.array_equal(first[key], second[key]) for key in SPEC)


def test_steps_lie_on_disk_and_samples_are_copies(tmp_path):
    replay, _ = filled(tmp_path, [[7]], 30, 20)
    assert all(isinstance(array, np.memmap) for array in replay.arrays.values())
    assert {file.name for file in tmp_path.iterdir()} == {f"{name}.npy" for name in SPEC}
    sample = replay.sample(3, 4, np.random.default_rng(0))
    sample["number"][:] = -1
    assert (replay.sample(3, 4, np.random.default_rng(0))["number"] >= 0).all()


def test_a_discarded_episode_is_never_sampled_and_the_others_stay(tmp_path):
    """Worker 0's second episode breaks at its third step; what came before and after, and the other worker, is all there."""
    replay, counter = Replay(tmp_path, SPEC, 100, 2, slack=5), Counter([[4], [6]])
    for _ in range(16):
        rows = counter.rows()
        broke = rows["episode"][0] == 1 and rows["step"][0] == 2
        replay.add(rows, discard=np.array([broke, False]))
        if broke:
            counter.step[0], counter.episode[0] = 0, 2
    rng, seen = np.random.default_rng(0), set()
    for _ in range(60):
        batch = replay.sample(4, 6, rng)
        seen |= set(zip(*(batch[key].ravel().tolist() for key in ("worker", "episode", "step")), strict=True))
    assert not {place for place in seen if place[:2] == (0, 1)}
    assert {place[1] for place in seen if place[0] == 0} == {0, 2, 3, 4}
    assert {place[2] for place in seen if place[0] == 1 and place[1] == 0} == set(range(6))
    assert len(replay) == 16 + 16 - 3
