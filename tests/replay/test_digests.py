"""Checksums of the replay: what can be sampled again is checked, what is written after the checkpoint does not matter, little is read."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from sensei.replay import digests
from sensei.replay.buffer import Replay

SPEC = {
    "image": ((2, 2), np.dtype(np.uint8)),
    "reward": ((), np.dtype(np.float32)),
    "is_first": ((), np.dtype(bool)),
    "none": ((0,), np.dtype(int)),
}
CAPACITY, WORKERS, SLACK, SEGMENT = 60, 2, 20, 8
STEPS = [3, 8, 29, 30, 31, 47, 100, 137]


@pytest.fixture(autouse=True)
def short_segments(monkeypatch):
    monkeypatch.setattr(digests, "SEGMENT", SEGMENT)


class Writer:
    """A replay and the random steps that go into it; every tenth begins an episode."""

    def __init__(self, folder: Path):
        self.replay, self.rng, self.count = Replay(folder, SPEC, CAPACITY, WORKERS, SLACK), np.random.default_rng(0), 0

    def add(self, steps: int, discard: bool = False) -> None:
        for _ in range(steps):
            image, reward = self.rng.integers(0, 256, (WORKERS, 2, 2), np.uint8), self.rng.random(WORKERS, np.float32)
            step = {
                "image": image,
                "reward": reward,
                "is_first": np.full(WORKERS, self.count % 10 == 0),
                "none": np.empty((WORKERS, 0), int),
            }
            self.replay.add(step, np.full(WORKERS, discard))
            self.count += 1


@pytest.mark.parametrize("steps", STEPS)
def test_what_comes_after_a_checkpoint_does_not_matter(tmp_path, steps):
    writer = Writer(tmp_path)
    writer.add(steps)
    saved = writer.replay.checkpoint()
    writer.add(SLACK)
    assert digests.fault(tmp_path, saved) is None


@pytest.mark.parametrize("steps", STEPS)
def test_no_step_that_can_be_sampled_may_be_another(tmp_path, steps):
    writer = Writer(tmp_path)
    writer.add(steps)
    saved = writer.replay.checkpoint()
    for worker in range(WORKERS):
        for count in range(max(0, steps - CAPACITY // WORKERS), steps):
            array, place = writer.replay.arrays["image"], (worker, count % writer.replay.rows)
            array[place] ^= 1
            assert f"of worker {worker}" in digests.fault(tmp_path, saved)
            array[place] ^= 1
    assert digests.fault(tmp_path, saved) is None


def test_checksums_of_many_checkpoints_are_those_of_one(tmp_path):
    """Also where episodes are taken back, and in a replay that was opened again."""
    one, many = Writer(tmp_path / "one"), Writer(tmp_path / "many")
    for steps, discard in ((25, False), (1, True), (33, False), (4, False), (1, True), (60, False)):
        for writer in (one, many):
            writer.add(steps, discard)
        saved = many.replay.checkpoint()
        again = Replay(tmp_path / "many", SPEC, CAPACITY, WORKERS, SLACK)
        again.restore(saved)
        many.replay = again
    assert many.replay.checkpoint() == one.replay.checkpoint()


def test_a_step_is_read_once_and_the_segment_under_way_again(tmp_path, monkeypatch):
    read: list[int] = []
    digest = digests._digest
    monkeypatch.setattr(digests, "_digest", lambda steps, places: (read.append(len(places)), digest(steps, places))[1])
    writer, checkpoints = Writer(tmp_path), 40
    for _ in range(checkpoints):
        writer.add(3)
        writer.replay.checkpoint()
    assert WORKERS * 120 <= sum(read) <= WORKERS * (120 + checkpoints * 2 * SEGMENT), "at most a segment at either end of the ring"


def test_room_that_the_disk_has_not_is_an_error_before_a_step_is_written(tmp_path, monkeypatch):
    def full(descriptor, offset, size):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    writer = Writer(tmp_path)
    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(OSError, match=r"No space.*\.npy"):
        writer.add(1)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="this system sets no room aside")
def test_room_is_set_aside_as_the_replay_grows_and_for_every_step(tmp_path):
    writer = Writer(tmp_path)
    size = (tmp_path / "image.npy").stat().st_size
    for steps in (1, 200):
        writer.add(steps)
        assert writer.replay._room == [writer.replay.rows] * WORKERS if steps == 200 else min(writer.replay._room) > 0
    assert (tmp_path / "image.npy").stat().st_size == size
