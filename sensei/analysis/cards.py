"""Readers of what labelling and distillation say of themselves; a missing or damaged file is an error that names it."""

from pathlib import Path
from typing import Any

import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.files import read_json

CURVES = ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]


def read_label_card(path: Path) -> dict[str, Any]:
    """How good the labels of one annotator are.

    Raises:
        SenseiError: it is missing or damaged.
    """
    return _checked(path, "label card", "merge", ("order_bias", "pairs", "shares", "swap_consistency"))


def read_reward_card(path: Path) -> dict[str, Any]:
    """The chosen epoch of one reward model, and how often it is right.

    Raises:
        SenseiError: it is missing or damaged.
    """
    return _checked(path, "reward card", "distil", ("chosen_epoch", "held_out", "oracle", "scale", "validation_loss"))


def read_curves(path: Path) -> pd.DataFrame:
    """Loss and accuracy of one reward model, `CURVES`, one row an epoch.

    Raises:
        SenseiError: the file is missing or damaged.
    """
    hint = f"delete {path} and run again"
    try:
        table = pd.read_csv(path)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {path}", hint="run the stage `distil` first") from error
    except ValueError as error:  # pandas' parser errors are ValueErrors
        raise SenseiError(f"{path} is damaged", found=error, hint=hint) from error
    if not set(CURVES) <= set(table.columns) or table.empty:
        raise SenseiError(f"{path} is damaged", found=", ".join(table.columns), expected=", ".join(CURVES), hint=hint)
    return table[CURVES]


def read_table(path: Path, stage: str) -> pd.DataFrame:
    """A parquet table that `stage` wrote.

    Raises:
        SenseiError: it is missing or damaged.
    """
    try:
        return pd.read_parquet(path)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no {path}", hint=f"run the stage `{stage}` first") from error
    except (ValueError, OSError) as error:  # pyarrow's errors are ValueError and OSError
        raise SenseiError(f"{path} is damaged", found=error, hint=f"delete {path} and run again") from error


def _checked(path: Path, kind: str, stage: str, keys: tuple[str, ...]) -> dict[str, Any]:
    """The card that `stage` wrote; a missing one, or one without `keys`, is an error that names it."""
    if not path.exists():
        raise SenseiError(f"there is no {path}", hint=f"run the stage `{stage}` first")
    card = read_json(path)
    if not isinstance(card, dict) or not set(keys) <= set(card):
        raise SenseiError(f"{path} is no {kind}", expected=f"a mapping with `{keys[0]}`", hint=f"delete {path} and run again")
    return card
