"""Other semantic rewards for the steps of a replay, from the episodes that they came from."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sensei.core.errors import SenseiError
from sensei.replay.digests import of_all, steps_in
from sensei.replay.episodes import load_episode

KEYS = ("image", "annotator_image", "flags")
Score = Callable[[np.ndarray, np.ndarray], np.ndarray]  # pictures as annotators see them uint8 [T, h, w, 3], flags [T, n] -> float32 [T]


def relabel(folder: Path, replay: dict[str, Any], episodes: list[list[Path]], score: Score) -> dict[str, Any]:
    """Replace the semantic rewards in the arrays in `folder`; nothing else of a step says what an annotator saw of it.

    The first steps of an episode that has left the replay in part stay away; episodes that are in no replay, because the simulator broke
    or nothing of them was stored yet, are passed over: an episode is told by its pictures.

    Args:
        replay: what `Replay.checkpoint` returned.
        episodes: files of each worker's episodes in their order, the one that is running last.
        score: the new rewards.

    Returns:
        `replay` with the checksums of what is there now.

    Raises:
        SenseiError: an episode of the replay is among none of the files, or one of them is damaged.
    """
    fields = {field: steps_in(folder / f"{field}.npy", "r+") for field in replay["fields"]}
    for worker, paths in enumerate(episodes):
        left = (load_episode(path, KEYS) for path in reversed(paths))
        for first, steps in reversed(list(_episodes(replay, worker, fields["is_first"]))):
            places = _places(replay, worker, steps)
            pictures = fields["image"][places]
            found = next(((episode, times) for episode in left if (times := _times(pictures, episode, first, steps)) is not None), None)
            if found is None:
                what = f"no episode of worker {worker} shows what its steps {steps[0]} to {steps[-1]} in {folder} show"
                raise SenseiError(what, hint="delete the run and make it again")
            episode, times = found
            fields["semantic"][places] = np.nan_to_num(score(episode["annotator_image"], episode["flags"]))[times]
    fields["semantic"].flush()
    return replay | {"digests": of_all(fields, replay)}


def _places(replay: dict[str, Any], worker: int, steps: np.ndarray) -> np.ndarray:
    """Where steps of a worker are among those of all."""
    return worker * replay["rows"] + steps % replay["rows"]


def _episodes(replay: dict[str, Any], worker: int, is_first: np.ndarray) -> Iterator[tuple[int | None, np.ndarray]]:
    """(first step, those of its steps that can be sampled) of each episode in a replay, int64 [n], as the worker counts them.

    The first step of the oldest episode is None if the replay forgot it: it had left when an episode began that broke and was taken back.
    """
    starts, count = replay["starts"][worker], replay["counts"][worker]
    steps = np.arange(max(0, count - replay["readable"]), count)
    for part in np.split(steps, np.flatnonzero(is_first[_places(replay, worker, steps)])):
        if len(part) and is_first[_places(replay, worker, part[:1])][0]:
            yield int(part[0]), part
        elif len(part):
            yield (starts[0] if starts and starts[0] <= part[0] else None), part


def _times(pictures: np.ndarray, episode: dict[str, np.ndarray], first: int | None, steps: np.ndarray) -> np.ndarray | None:
    """When an episode showed these pictures uint8 [n, side, side, 3], int64 [n]; None if it did not.

    Args:
        first: the replay's first step of it; None: they are its last ones.
        steps: the replay's, of the pictures.
    """
    length = len(episode["image"])
    times = steps - (steps[-1] + 1 - length if first is None else first)
    shown = times[0] >= 0 and times[-1] < length and np.array_equal(pictures, episode["image"][times])
    return times if shown else None
