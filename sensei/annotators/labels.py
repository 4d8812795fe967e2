"""From raw replies to labels: shards are merged into one table and a card."""

import json
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.annotators.agreement import accuracy, cohen_kappa, order_bias
from sensei.annotators.oracle import can_rank, compare, ranks
from sensei.annotators.pairs import SIDES, read_pairs, states
from sensei.annotators.preference import REPAIR, Label, Reply
from sensei.errors import SenseiError
from sensei.io import atomic, write_json


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


def merge_shards(shard_paths: list[Path], pairs_path: str | Path, labels_path: str | Path, card_path: str | Path) -> dict[str, object]:
    """Make one table of labels of all shards, and a card that says how good they are.

    Args:
        shard_paths: every shard of the pairs.
        pairs_path: table of `make_pairs`.
        labels_path: parquet, one row a pair: pair, label (0 first, 1 second, 2 tie, 3 unknown, in the pair's own order; null if the
            request failed), swapped (second side shown first), answer (as label, in the order shown), oracle (as label; null if the
            environment's state cannot be ranked), text, error, fault (why an answer is unknown, if the reply was none of those asked for).
        card_path: json, the returned card.

    Returns:
        pairs, counts and shares of the labels, errors, faults (kind -> number); order_bias: share of "first one shown" among clear
        answers; oracle: accuracy on the pairs clear to both, and Cohen's kappa over all codes. Shares with 95 % Wilson intervals.

    Raises:
        SenseiError: a shard is damaged, or the shards do not answer each pair once.
    """
    table = read_pairs(pairs_path)
    replies: dict[int, Reply] = {}
    for path in shard_paths:
        own = {reply.pair: reply for reply in read_replies(path)}  # the last reply counts: those before it failed
        if foreign := own.keys() & replies.keys() or own.keys() - set(range(len(table))):
            raise SenseiError(f"shard {path} answers pair {min(foreign)}, which is not its own", hint=REPAIR)
        replies |= own
    if missing := set(range(len(table))) - replies.keys():
        raise SenseiError(
            f"no shard answers pair {min(missing)}", found=f"{len(replies)} replies", expected=len(table), hint="annotate again"
        )
    ordered = [replies[pair] for pair in range(len(table))]
    labels = pd.DataFrame([reply.record() for reply in ordered])
    labels["answer"] = pd.array([reply.answer for reply in ordered], dtype="Int8")
    labels.insert(1, "label", pd.array([reply.label for reply in ordered], dtype="Int8"))
    labels["oracle"] = pd.array(oracle_labels(table), dtype="Int8")
    with atomic(labels_path) as temporary:
        labels.astype({"text": str, "error": "string", "fault": "string"}).to_parquet(temporary, index=False)
    card = _card(labels)
    write_json(card_path, card)
    return card


def oracle_labels(table: pd.DataFrame) -> np.ndarray | list[None]:
    """The oracle's labels [N] of a table of pairs; None for each if it cannot rank these states."""
    if not can_rank(states(table, SIDES[0])):
        return [None] * len(table)
    return compare(*(ranks(states(table, side)) for side in SIDES))


def _card(labels: pd.DataFrame) -> dict[str, object]:
    answered = labels[labels["label"].notna()]
    label, answer = (answered[key].to_numpy(np.int64) for key in ("label", "answer"))
    counts = {code.name.lower(): int((label == code).sum()) for code in Label}
    card: dict[str, object] = {
        "pairs": len(labels),
        "errors": len(labels) - len(answered),
        "faults": {kind: int(number) for kind, number in answered["fault"].value_counts().items()},
        "counts": counts,
        "shares": {name: count / len(answered) if len(answered) else None for name, count in counts.items()},
        "order_bias": order_bias(answer),
        "oracle": None,
    }
    if answered["oracle"].notna().all():
        oracle = answered["oracle"].to_numpy(np.int64)
        card["oracle"] = {"accuracy": accuracy(label, oracle), "kappa": cohen_kappa(label, oracle)}
    return card


def read_labels(path: str | Path) -> pd.DataFrame:
    """Read the table of labels; a damaged one is an error that names it."""
    try:
        return pd.read_parquet(path, columns=["pair", "label", "oracle"])
    except (OSError, ValueError, KeyError) as error:
        raise SenseiError(f"the labels {path} are damaged", found=error, hint=f"delete {path} and annotate again") from error
