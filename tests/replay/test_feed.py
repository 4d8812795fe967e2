"""Batches on their way to the update."""

import numpy as np

from sensei.core.rng import generator
from sensei.replay.buffer import Replay
from sensei.replay.feed import Feed


def test_the_feed_gives_the_batches_of_the_replay_in_memory_used_again(tmp_path):
    spec = {"image": ((4, 4, 3), np.dtype(np.uint8)), "is_first": ((), np.dtype(bool))}
    replay, rng = Replay(tmp_path, spec, 60, 2, 10), np.random.default_rng(0)
    for step in range(50):
        replay.add({"image": rng.integers(256, size=(2, 4, 4, 3), dtype=np.uint8), "is_first": np.array([step % 7 == 0, step % 5 == 0])})
    feed, places = Feed(replay, generator(0, "replay"), 3, 9, "cpu"), generator(0, "replay")
    memory = set()
    for _ in range(5):
        given, wanted = feed.sample(), replay.sample(3, 9, places)
        assert all(np.array_equal(given[name], wanted[name]) for name in spec)
        memory.add(given["image"].ctypes.data)
    assert len(memory) == 1
