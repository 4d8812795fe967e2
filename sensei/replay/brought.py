"""Episodes that people bring: a folder of any, about which an annotator is asked in place of the collector's runs.

An episode is a file or a folder of pictures, anywhere below the folder that is named:

* `*.npz`, with what annotators see of each of its T steps: `annotator_image` uint8 [T, h, w, 3], `flags` float32 [T, n] where the
  environment has some, and `state` float32 [T, S] with `state_names` [S], for annotators that read the game's state. Where the environment
  draws any state again (Robodesk), states do without pictures. The episodes of our own runs are such files.
* `*.png`, `*.jpg`, `*.jpeg`: those of one folder, in the order of their names, are the steps of an episode.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.verification import files_below
from sensei.replay.episodes import load_episode

PICTURES = {".png", ".jpg", ".jpeg"}
SHOWN = ("annotator_image", "flags", "state")
HINT = "correct `episodes` of the annotator"


class Sample(NamedTuple):
    """What the first episode of a folder holds. shape: of its pictures, None without any. state: its first, key -> number."""

    name: str
    shape: tuple[int, ...] | None
    flags: int
    state: dict[str, float]


def files_of(folder: Path) -> list[Path]:
    """All files of the episodes below a folder, in order."""
    return [path for path in files_below(folder) if path.suffix.lower() in {".npz", *PICTURES}]


def index(folder: Path) -> pd.DataFrame:
    """The episodes below a folder in the order of their names, one row each: file (name), path (of a file, or of a folder of pictures) and
    steps.

    Raises:
        SenseiError: there is no such folder, it holds no episode, or one is damaged.
    """
    if not folder.is_dir():
        raise SenseiError(f"there is no folder of episodes {folder}", hint=HINT)
    places = sorted({path.parent if path.suffix.lower() in PICTURES else path for path in files_of(folder)})
    if not places:
        raise SenseiError(f"there are no episodes in {folder}", expected="*.npz, or folders of *.png or *.jpg", hint=HINT)
    return pd.DataFrame([{"file": path.relative_to(folder).as_posix(), "path": path, "steps": _steps(path)} for path in places])


def sample(folder: Path) -> Sample:
    """What the first episode below a folder holds.

    Raises:
        SenseiError: as for `index`, or it holds nothing that annotators see.
    """
    first = index(folder).iloc[0]
    episode = load(first["path"])
    state = dict(zip(episode["state_names"].tolist(), episode["state"][0].tolist(), strict=True))
    picture = episode.get("annotator_image")
    return Sample(str(first["path"]), None if picture is None else picture.shape[1:], episode["flags"].shape[1], state)


def load(path: Path, keys: tuple[str, ...] = (*SHOWN, "state_names")) -> dict[str, np.ndarray]:
    """Read `keys` of one episode; flags and states that it lacks are none at all: float32 [T, 0].

    Raises:
        SenseiError: it is damaged, or its pictures are not of one size.
    """
    found = {"annotator_image": _pictures(path)} if path.is_dir() else load_episode(path, _held(path, keys), hint=HINT)
    nothing = np.zeros((len(next(iter(found.values()), ())), 0), np.float32)
    episode = {"flags": nothing, "state": nothing, "state_names": np.zeros(0, str)} | found
    if "state" in keys and episode["state"].shape[1:] != episode["state_names"].shape:
        found, expected = (list(episode[key].shape) for key in ("state_names", "state"))
        raise SenseiError(f"episode {path}: `state_names` are not those of `state`", found=found, expected=f"as of {expected}", hint=HINT)
    return episode


def _held(path: Path, keys: tuple[str, ...]) -> tuple[str, ...]:
    """Which of `keys` a file holds; one that is damaged is said to hold them all, so that reading it says how."""
    try:
        with np.load(path, allow_pickle=False) as file:
            held = tuple(key for key in keys if key in file)
    except Exception:
        return keys
    if not set(held) & set(SHOWN):
        raise SenseiError(f"episode {path} shows nothing", expected=f"{', '.join(SHOWN)} or some of them", hint=HINT)
    return held


def _steps(path: Path) -> int:
    """Steps of an episode, from the least of what it holds."""
    if path.is_dir():
        return len(_files_of(path))
    return len(load_episode(path, _held(path, SHOWN[::-1])[:1], hint=HINT).popitem()[1])


def _files_of(folder: Path) -> list[Path]:
    """The pictures of an episode, in order."""
    return [path for path in files_below(folder) if path.parent == folder and path.suffix.lower() in PICTURES]


def _pictures(folder: Path) -> np.ndarray:
    """The pictures of a folder by their names, uint8 [T, h, w, 3]."""
    from PIL import Image, UnidentifiedImageError

    files, pictures = _files_of(folder), []
    for file in files:
        try:
            with Image.open(file) as image:
                pictures.append(np.asarray(image.convert("RGB")))
        except (OSError, UnidentifiedImageError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
            raise SenseiError(f"picture {file} is damaged", found=error, hint=HINT) from error
        if pictures[-1].shape != pictures[0].shape:
            found, expected = (list(picture.shape[:2]) for picture in (pictures[-1], pictures[0]))
            raise SenseiError(f"picture {file} is not of the size of {files[0].name}", found=found, expected=expected)
    return np.stack(pictures)
