"""Episodes on disk: one compressed file an episode, written whole or not at all, checked whenever it is read.

Row t of an episode of T rows holds observation t, the reward and the events that came with it, and in `action` the action
taken *after* it (zero in the last row).
"""

import os
import re
import shutil
import uuid
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.files import atomic, sha256
from sensei.envs.step import Field, Has, fields
from sensei.study.layout import CollectionFiles

ROWS = fields(Has.EPISODE)
NAMES = {"events": "event_names", "state": "state_names"}
KEYS = (*ROWS, *NAMES.values())
FILE_NAME = re.compile(r"worker(\d+)-(\d+)\.npz")


def episode_name(worker: int, episode: int) -> str:
    """File name of an episode: `worker03-000012.npz`."""
    return f"worker{worker:02d}-{episode:06d}.npz"


def save_episode(path: str | Path, episode: dict[str, np.ndarray]) -> None:
    """Write one episode, compressed and atomically.

    Args:
        path: the file, named by `episode_name`.
        episode: the fields that episodes have over T rows, `annotator_image` only where it is kept; `action` int64 [T] or
            float32 [T, d]; `event_names` [E] and `state_names` [S], text.
    """
    fault = _fault(episode, KEYS)
    assert fault is None, fault
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **{key: episode[key] for key in KEYS if key in episode})


def load_episode(path: str | Path, keys: tuple[str, ...] = KEYS, hint: str | None = None) -> dict[str, np.ndarray]:
    """Read `keys` of one episode and check that they are there (optional fields may not be), of the right shape and type, of one length.

    Args:
        hint: what helps if it is damaged; by default, to collect it again.

    Raises:
        SenseiError: the file is absent, damaged or not an episode; the message names it.
    """
    hint = hint or f"delete {path} and run the collecting run again"
    try:
        with np.load(path, allow_pickle=False) as file:
            episode = {key: file[key] for key in keys if key in file}
    except FileNotFoundError as error:
        raise SenseiError(f"there is no episode {path}", hint="run the collecting run again") from error
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error, NotImplementedError, AttributeError, TypeError) as error:
        raise SenseiError(
            f"episode {path} is damaged", found=str(error) or type(error).__name__, expected="a whole npz file", hint=hint
        ) from error
    if fault := _fault(episode, keys):
        raise SenseiError(f"episode {path} is damaged: {fault}", hint=hint)
    return episode


def _fault(episode: dict[str, np.ndarray], keys: tuple[str, ...]) -> str | None:
    """What is wrong with an episode that should hold `keys`, in words; None if nothing is."""
    if missing := [key for key in keys if key not in episode and not (key in ROWS and ROWS[key].optional)]:
        return f"it lacks {', '.join(missing)}"
    rows = {key: episode[key] for key in keys if key in episode and key not in NAMES.values()}
    for key, array in rows.items():
        if expected := _misfit(ROWS[key], array):
            return f"`{key}` is {array.dtype} {list(array.shape)}, not {expected}"
    lengths = {len(array) for array in rows.values()}
    if rows and (len(lengths) > 1 or lengths == {0}):
        return f"its arrays have {sorted(lengths)} rows, not one length above 0"
    for key, names in NAMES.items():
        if key in rows and names in episode and episode[names].shape != rows[key].shape[1:]:
            return f"`{names}` has shape {list(episode[names].shape)} for `{key}` of shape {list(rows[key].shape)}"
    return None


def _misfit(field: Field, array: np.ndarray) -> str | None:
    """What type and shape the rows of a field should have, if these have others."""
    if field.dtype is None:
        fits = (array.dtype == np.int64 and array.ndim == 1) or (array.dtype == np.float32 and array.ndim == 2)
        return None if fits else "int64 [T] or float32 [T, d]"
    fits = array.dtype == np.dtype(field.dtype) and array.ndim == 1 + len(field.shape)
    fits = fits and all(isinstance(want, str) or want == size for want, size in zip(field.shape, array.shape[1:], strict=True))
    return None if fits else f"{np.dtype(field.dtype)} [T{''.join(f', {size}' for size in field.shape)}]"


def collect(run_episodes_folder: str | Path, output_folder: str | Path) -> pd.DataFrame:
    """Verify the episodes of a finished run and gather them, without copying bytes where the file system allows.

    Every file is hard-linked (copied if it lies on another file system) into the collection; what else is there is removed.

    Returns:
        The index, also written beside them; one row an episode, by worker and number: file (its name), worker,
        episode, steps (rows, that is observations), sha256.

    Raises:
        SenseiError: there is no episode, or one is damaged.
    """
    files = CollectionFiles(Path(output_folder))
    source, target = Path(run_episodes_folder), files.episodes
    found = {tuple(map(int, match.groups())): file for file in source.glob("*.npz") if (match := FILE_NAME.fullmatch(file.name))}
    if not found:
        raise SenseiError(f"there are no episodes in {source}", hint="raise `training.explore_steps`, or run the collecting run again")
    target.mkdir(parents=True, exist_ok=True)
    for stale in {file.name for file in target.iterdir()} - {file.name for file in found.values()}:
        (target / stale).unlink()
    rows = []
    for (worker, episode), file in sorted(found.items()):
        steps = len(load_episode(file)["reward"])
        link(file, target / file.name)
        rows.append({"file": file.name, "worker": worker, "episode": episode, "steps": steps, "sha256": sha256(file)})
    index = pd.DataFrame(rows)
    with atomic(files.index) as temporary:
        index.to_parquet(temporary, index=False)
    return index


def link(source: Path, target: Path) -> None:
    """Make `target` the same file as `source`, or a copy of it, in one step."""
    temporary = target.with_name(f".{uuid.uuid4().hex}")
    try:
        try:
            os.link(source, temporary)
        except OSError:  # another file system, or one without hard links
            shutil.copyfile(source, temporary)
        os.replace(temporary, target)  # does nothing if both are one file already, hence the clean-up
    finally:
        temporary.unlink(missing_ok=True)
