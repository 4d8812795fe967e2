"""Other semantic rewards for the steps of a replay, from the episodes that they came from."""

from collections.abc import Callable, Iterable, Iterator
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
        for first, steps in reversed(list(_episodes(replay, worker))):
            places = worker * replay["rows"] + steps % replay["rows"]
            pictures = fields["image"][places]
            found = next((episode for episode in left if _is_of(pictures, episode, steps - first)), None)
            if found is None:
                what = f"no episode of worker {worker} shows what its steps {steps[0]} to {steps[-1]} in {folder} show"
                raise SenseiError(what, hint="delete the run and make it again")
            fields["semantic"][places] = np.nan_to_num(score(found["annotator_image"], found["flags"]))[steps - first]
    fields["semantic"].flush()
    return replay | {"digests": of_all(fields, replay)}


def _episodes(replay: dict[str, Any], worker: int) -> Iterator[tuple[int, np.ndarray]]:
    """(first step, those of its steps that can be sampled) of each episode in a replay, int64 [n], as the worker counts them."""
    starts, count = replay["starts"][worker], replay["counts"][worker]
    for start, end in zip(starts, [*starts, count][1:], strict=True):
        yield start, np.arange(max(start, count - replay["readable"]), end)


def _is_of(pictures: np.ndarray, episode: dict[str, np.ndarray], times: Iterable[int]) -> bool:
    """Whether an episode showed these pictures uint8 [n, side, side, 3] at `times`."""
    return times[-1] < len(episode["image"]) and np.array_equal(pictures, episode["image"][times])
