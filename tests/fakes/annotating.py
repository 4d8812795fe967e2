"""Pairs of random KeyRoom states, and annotators asked about them."""

from pathlib import Path

import numpy as np
import pandas as pd

from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.shards import annotate_shard
from sensei.preferences.labels import merge_shards
from sensei.preferences.pair import Label, Reply
from sensei.preferences.tables import read_replies
from sensei.study.models.annotators import AnnotatorOptions, annotator_options
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.preferences import LabelsConfig

ROOM = ("key_in_view", "key_held", "closed_door_beside", "open_door_in_view", "stairs_in_view")
KEYROOM = EnvironmentConfig(family="minihack", level="KeyRoom-S5", tasks=["none"], title="-", episode_steps=1, events=["door_opened"])


def options(kind: str, **settings: object) -> AnnotatorOptions:
    """What a file of config/annotators would say."""
    return annotator_options({"kind": kind, **settings}, "the test")


ORACLE, ONCE = options("oracle"), LabelsConfig(both_orders=0)


class Brighter(Annotator):
    """Prefers the brighter picture, and so answers differently in different views."""

    def annotate(self, pairs):
        for pair in pairs:
            first, second = pair.first.image.mean(), pair.second.image.mean()
            answer = Label.TIE if first == second else Label.FIRST if first > second else Label.SECOND
            yield Reply(pair.pair, pair.swapped, answer.name, answer)


def write_pairs(folder: Path, number: int, seed: int = 0) -> Path:
    """A table of pairs of random KeyRoom states."""
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"pair": np.arange(number)})
    for side in ("first_", "second_"):
        table[f"{side}frame"] = rng.integers(5, size=number)
        for name in ROOM:
            table[f"{side}state_{name}"] = rng.integers(2, size=number) * (rng.random(number) < 0.5)
    table.to_parquet(folder / "main.parquet")
    return folder / "main.parquet"


def assignment(folder: Path, seed: int = 0, prompt: str | None = None) -> Assignment:
    """What annotators of these tests are given."""
    return Assignment(seed, prompt, folder, folder / "ledger.sqlite", KEYROOM)


def annotate(pairs: Path, output: Path, asked: AnnotatorOptions = ORACLE, shard: int = 0, shards: int = 1, seed: int = 0) -> list[Reply]:
    """Annotate one shard without pictures, each pair in one order."""
    annotate_shard(pairs, pairs.with_suffix(".frames.npz"), "tested", asked, shard, shards, output, assignment(output.parent, seed), ONCE)
    return read_replies(output)


def merge(folder: Path, pairs: Path, *shards: Path, order: str = "random") -> dict:
    """The card of the labels in some shards; labels.parquet and card.json go into `folder`."""
    return merge_shards(list(shards), pairs, folder / "labels.parquet", folder / "card.json", KEYROOM, order)
