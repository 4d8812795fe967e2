"""Semantic rewards of a replay made anew from episodes whose pictures say worker, episode and step."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.replay import digests
from sensei.replay.buffer import Replay
from sensei.replay.episodes import episode_name, save_episode
from sensei.replay.relabel import relabel

WORKERS, SLACK = 2, 12
Lengths = list[tuple[int, bool]]  # of each episode, and whether the simulator broke at its end


def pictures(worker: int, episode: int, length: int) -> np.ndarray:
    """uint8 [length, 2, 2, 3], every one different."""
    values = np.array([(worker, episode, step) for step in range(length)], np.uint8)
    return np.broadcast_to(values[:, None, None], (length, 2, 2, 3)).copy()


def score(images: np.ndarray, flags: np.ndarray) -> np.ndarray:
    """The step of the episode and 100 times its number, from the annotator's picture, which is larger than the agent's."""
    return images[:, 0, 0, 2] + 100.0 * images[:, 0, 0, 1] + flags.sum(axis=1)


@pytest.fixture(scope="module")
def played(tmp_path_factory) -> Callable[[Lengths, int, int, int], tuple[Path, Replay, list[list[Path]]]]:
    """Plays episodes into a replay, all but the last `stop` steps: its folder, the replay, and the files of each worker's episodes."""

    def play(lengths: Lengths, capacity: int, flags: int, stop: int):
        folder = tmp_path_factory.mktemp("relabel")
        spec = {
            "image": ((2, 2, 3), np.dtype(np.uint8)),
            "flags": ((flags,), np.dtype(np.float32)),
            "is_first": ((), np.dtype(bool)),
            "semantic": ((), np.dtype(np.float32)),
        }
        replay = Replay(folder / "replay", spec, capacity, WORKERS, SLACK)
        rows = [(number, step, broken and step == length - 1) for number, (length, broken) in enumerate(lengths) for step in range(length)]
        for number, step, broken in rows[: max(1, len(rows) - stop)]:
            image = np.stack([pictures(worker, number, step + 1)[-1] for worker in range(WORKERS)])
            row = {"image": image, "flags": np.ones((WORKERS, flags), np.float32), "semantic": np.zeros(WORKERS, np.float32)}
            replay.add(row | {"is_first": np.full(WORKERS, step == 0)}, discard=np.full(WORKERS, broken))
        files = [[folder / episode_name(worker, number) for number in range(len(lengths))] for worker in range(WORKERS)]
        for worker, paths in enumerate(files):
            for number, path in enumerate(paths):
                save(path, pictures(worker, number, lengths[number][0]), flags)
        return folder / "replay", replay, files

    return play


def save(path: Path, images: np.ndarray, flags: int) -> None:
    """An episode of these pictures, which annotators see twice as large."""
    length = len(images)
    zeros = np.zeros(length, np.float32)
    ends = {name: np.zeros(length, bool) for name in ("is_first", "is_last", "is_terminal")}
    names = {name: np.array(["nothing"]) for name in ("event_names", "state_names")}
    rows = {name: np.zeros((length, 1), np.float32) for name in ("events", "state")}
    large = images.repeat(2, axis=1).repeat(2, axis=2)
    shown = {"image": images, "annotator_image": large, "flags": np.ones((length, flags), np.float32)}
    save_episode(path, {**shown, "reward": zeros, "action": np.zeros(length, np.int64), **ends, **rows, **names})


lengths = st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=6)


@settings(max_examples=40, deadline=None)
@example([(2, False), (3, True)], 4, 0, 0)  # the first episode has left the replay when the second one breaks
@example([(3, False), (6, False), (5, True), (2, False)], 16, 2, 0)
@given(lengths, st.integers(4, 60), st.sampled_from([0, 2]), st.integers(0, 5))
def test_every_step_that_can_be_sampled_gets_the_reward_of_its_own_picture(played, lengths, capacity, flags, stop):
    folder, replay, files = played(lengths, capacity, flags, stop)
    before = replay.checkpoint()
    after = relabel(folder, before, files, score)
    assert digests.fault(folder, after) is None
    assert {key: value for key, value in after.items() if key != "digests"} == {
        key: value for key, value in before.items() if key != "digests"
    }
    image, semantic = (np.load(folder / f"{name}.npy") for name in ("image", "semantic"))
    for worker, count in enumerate(before["counts"]):
        places = np.arange(max(0, count - before["readable"]), count) % before["rows"]
        np.testing.assert_array_equal(semantic[worker, places], score(image[worker, places], np.ones((len(places), flags))))


def test_steps_of_no_episode_are_refused(played):
    folder, replay, files = played([(5, False), (4, False)], 60, 0, 0)
    with pytest.raises(SenseiError, match="no episode of worker 0 shows what its steps 0 to 4"):
        relabel(folder, replay.checkpoint(), [paths[1:] for paths in files], score)
