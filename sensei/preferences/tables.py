"""What the stages of annotation read of one another: the table of pairs, files of raw replies, the table of labels."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pair import REPAIR, Pair, Reply, Side

STATE = "state_"  # prefix of the oracle's columns
SIDES = ("first_", "second_")


def read_pairs(path: str | Path) -> pd.DataFrame:
    """Read the table of pairs; a damaged one is an error that names it."""
    try:
        table = pd.read_parquet(path)
        whole = (table["pair"] == np.arange(len(table))).all() and {"first_frame", "second_frame"} <= set(table)
    except (OSError, ValueError, KeyError) as error:
        raise SenseiError(f"the pairs {path} are damaged", found=error, hint=f"delete {path} and draw the pairs again") from error
    if not whole:
        raise SenseiError(
            f"the pairs {path} are damaged", expected="pairs 0, 1, ... in order", hint=f"delete {path} and draw the pairs again"
        )
    return table


def states(table: pd.DataFrame, side: str) -> dict[str, np.ndarray]:
    """What the oracle may look at: state key -> values [N] of one side (`first_` or `second_`) of a table of pairs."""
    prefix = f"{side}{STATE}"
    return {name.removeprefix(prefix): column.to_numpy() for name, column in table.items() if name.startswith(prefix)}


def questions(table: pd.DataFrame, frames: Frames, swapped: np.ndarray, view: str | None = None) -> Iterator[Pair]:
    """The pairs of a table as annotators are asked in one view, in the reverse order where `swapped` bool [N] says so."""
    known = [(table[f"{side}frame"].to_numpy(), states(table, side)) for side in SIDES]
    for row, (pair, turned) in enumerate(zip(table["pair"], swapped, strict=True)):
        sides = [
            Side(frames, int(frame[row]), {name: float(values[row]) for name, values in state.items()}, view) for frame, state in known
        ]
        yield Pair(int(pair), bool(turned), *(reversed(sides) if turned else sides))


def read_replies(path: str | Path) -> list[Reply]:
    """Read a file of raw replies.

    Raises:
        SenseiError: it is absent, or a line is damaged; the message names file and line.
    """
    try:
        lines = Path(path).read_bytes().splitlines()
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}", hint="annotate again") from error
    replies = []
    for number, line in enumerate(lines, 1):
        where = f"{path}, line {number},"
        try:
            record = json.loads(line)
        except ValueError as error:
            raise SenseiError(f"{where} is damaged", found=error, expected="JSON", hint=REPAIR) from error
        replies.append(Reply.of(record, where))
    return replies


def read_labels(path: str | Path) -> pd.DataFrame:
    """Read the table of labels; a damaged one is an error that names it."""
    try:
        return pd.read_parquet(path, columns=["pair", "label", "oracle"])
    except (OSError, ValueError, KeyError) as error:
        raise SenseiError(f"the labels {path} are damaged", found=error, hint=f"delete {path} and annotate again") from error
