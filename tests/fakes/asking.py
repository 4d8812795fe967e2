"""Pairs of pictures whose brightness tells the answer, and a server that sees it."""

import json
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.annotators.registry import Assignment, make_annotator
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.pair import Label, Pair, Side
from sensei.study.models.annotators import OpenAIConfig

MODEL = "gpt-4o-2024-05-13"
PATIENT = {"at_once": 16, "timeout": 20.0, "longest_wait": 0.2, "attempts": 12}  # for a busy machine
STATE = "key_held"


def write_frames(folder: Path, number: int = 24, seed: int = 0) -> Frames:
    """Noisy pictures, each of another brightness, in random order."""
    rng = np.random.default_rng(seed)
    brightness = rng.permutation(np.linspace(20, 220, number))
    image = (brightness[:, None, None, None] + rng.integers(-5, 5, (number, 16, 24, 3))).astype(np.uint8)
    save_frames(folder / "frames.npz", {"default": image}, np.zeros((number, 1), np.float32))
    return Frames(folder / "frames.npz")


def draw(frames: Frames, number: int, seed: int = 1) -> list[Pair]:
    """Pairs of different frames."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(frames.image), size=number)
    second = (first + rng.integers(1, len(frames.image), size=number)) % len(frames.image)
    return [
        Pair(pair, False, *(Side(frames, int(side), {}) for side in sides)) for pair, sides in enumerate(zip(first, second, strict=True))
    ]


def write_pairs(folder: Path, number: int, frames: int) -> Path:
    """The table of such pairs, no two alike in either order, with a state for the inventory sentence."""
    rng = np.random.default_rng(2)
    every = np.stack(np.triu_indices(frames, 1), 1)
    first, second = rng.permuted(rng.choice(every, size=number, replace=False), axis=1).T
    table = pd.DataFrame({"pair": np.arange(number), "first_frame": first, "second_frame": second})
    for side in ("first", "second"):
        table[f"{side}_state_{STATE}"] = rng.integers(2, size=number).astype(float)
    table.to_parquet(folder / "pairs.parquet")
    return folder / "pairs.parquet"


def truth(pair: Pair) -> Label:
    """What the server says of a pair."""
    first, second = pair.first.image.mean(), pair.second.image.mean()
    return Label.TIE if first == second else Label.FIRST if first > second else Label.SECOND


def annotator(folder: Path, prompt: str = "robodesk", **changes: object):
    """An annotator behind the server that OPENAI_BASE_URL names."""
    settings = {"model": MODEL, "max_unreadable": 1.0} | changes
    config = OpenAIConfig(**settings | {"requests": PATIENT | settings.get("requests", {})})
    return make_annotator(config, Assignment(0, prompt, folder, folder / "ledger.sqlite"))


def told(address: str, faults: dict[str, float]) -> None:
    """Set the server's faults; it counts from zero."""
    urllib.request.urlopen(f"{address}/faults", json.dumps(faults).encode()).close()


def counted(address: str) -> dict[str, object]:
    """What the server has counted."""
    with urllib.request.urlopen(f"{address}/count") as response:
        return json.load(response)
