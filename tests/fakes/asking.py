"""Pairs of pictures whose brightness tells the answer, and a server that sees it."""

import json
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import yaml

from fakes.annotating import assignment, options
from fakes.recorded import record
from sensei.annotators.registry import make_annotator
from sensei.annotators.vlm.openai.asking import Asking
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.pair import Label, Pair, Side
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import dump_study, load_study
from sensei.study.models.annotators import AnnotatorOptions

MODEL = "gpt-4o-2024-05-13"
PATIENT = {"at_once": 16, "timeout": 20.0, "longest_wait": 0.2, "attempts": 12}  # for a busy machine
SECRET = "sk-planted-0123456789abcdef"
BROKEN = {"429": 0.05, "500": 0.03, "502": 0.03, "503": 0.03, "529": 0.03, "dropped": 0.04, "half_sent": 0.04, "invalid_json": 0.03}
BAD_REPLIES = {"empty": 0.03, "refusal": 0.03, "outside_grammar": 0.03, "chatty": 0.03}
STATE = "key_held"
ENVIRONMENT, ANNOTATOR = "minihack_keyroom_s5", "gpt-4o"


def write_frames(folder: Path, number: int = 24, name: str = "frames.npz") -> Frames:
    """Noisy pictures, each of another brightness, in random order."""
    rng = np.random.default_rng(0)
    brightness = rng.permutation(np.linspace(20, 220, number))
    image = (brightness[:, None, None, None] + rng.integers(-5, 5, (number, 16, 24, 3))).astype(np.uint8)
    save_frames(folder / name, {"default": image}, np.zeros((number, 1), np.float32))
    return Frames(folder / name)


def draw(frames: Frames, number: int, seed: int = 1) -> list[Pair]:
    """Pairs of different frames."""
    rng = np.random.default_rng(seed)
    first = rng.integers(len(frames.image), size=number)
    second = (first + rng.integers(1, len(frames.image), size=number)) % len(frames.image)
    return [
        Pair(pair, False, *(Side(frames, int(side), {}) for side in sides)) for pair, sides in enumerate(zip(first, second, strict=True))
    ]


def write_pairs(path: Path, number: int, frames: int) -> None:
    """The table of such pairs, no two alike in either order, with a state for the inventory sentence."""
    rng = np.random.default_rng(2)
    every = np.stack(np.triu_indices(frames, 1), 1)
    first, second = rng.permuted(rng.choice(every, size=number, replace=False), axis=1).T
    table = pd.DataFrame({"pair": np.arange(number), "first_frame": first, "second_frame": second})
    for side in ("first", "second"):
        table[f"{side}_state_{STATE}"] = rng.integers(2, size=number).astype(float)
    table.to_parquet(path)


def truth(pair: Pair) -> Label:
    """What the server says of a pair."""
    first, second = pair.first.image.mean(), pair.second.image.mean()
    return Label.TIE if first == second else Label.FIRST if first > second else Label.SECOND


def distinct(pairs: list[Pair]) -> int:
    """How many different questions there are about pairs of one view."""
    return len({(pair.first.frame, pair.second.frame) for pair in pairs})


def asking(folder: Path, prompt: str = "robodesk", **changes: object) -> Asking:
    """An annotator behind the server that OPENAI_BASE_URL names."""
    return make_annotator(openai_options(**changes), assignment(folder, prompt=prompt)).asking


def openai_options(**changes: object) -> AnnotatorOptions:
    """Those of a patient annotator that minds no unreadable replies."""
    settings = {"model": MODEL, "max_unreadable": 1.0} | changes
    return options("openai_api", **settings | {"requests": PATIENT | settings.get("requests", {})})


def write_study(folder: Path, pairs: int, frames: int, **changes: object) -> Layout:
    """A resolved study of one annotator, gpt-4o, that asks in one shard about `pairs` pairs of `frames` frames, which are there too."""
    content = yaml.safe_load((CONFIG_FOLDER / "smoke.yaml").read_text())
    content |= {"annotators": ["gpt-4o"], "pairs": {"number": pairs, "shards": 1}, "labels": {"both_orders": 0}}
    resolved = yaml.safe_load(dump_study(load_study(content, "the test")))
    resolved["annotator_settings"][ANNOTATOR] |= changes
    files = Layout(folder / "results" / "smoke")
    asked = files.pairs(ENVIRONMENT)
    asked.folder.mkdir(parents=True)
    files.study.write_text(yaml.safe_dump(resolved))
    write_frames(asked.folder, frames, asked.frames.name)
    write_pairs(asked.pairs, pairs, frames)
    record("pairs", asked.pairs, asked.frames)
    return files


def shard_of(files: Layout) -> Path:
    """The only shard."""
    return files.labels(ENVIRONMENT, ANNOTATOR).shard(0)


def command(files: Layout, *more: str) -> list[object]:
    """The command line that asks about the only shard."""
    words = ["annotate", "--study", files.study, "--environment", ENVIRONMENT, "--annotator", ANNOTATOR]
    return [sys.executable, "-m", "sensei", *words, *(more or ("--shard", "0"))]


def told(address: str, faults: dict[str, float]) -> None:
    """Set the server's faults; it counts from zero."""
    urllib.request.urlopen(f"{address}/faults", json.dumps(faults).encode()).close()


def counted(address: str) -> dict[str, object]:
    """What the server has counted."""
    with urllib.request.urlopen(f"{address}/count") as response:
        return json.load(response)
