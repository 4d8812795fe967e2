"""From raw replies to labels: shards are merged into one table and a card."""

from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError
from sensei.core.files import atomic, write_json
from sensei.envs.registry import family
from sensei.preferences.agreement import accuracy, cohen_kappa, order_bias, proportion, swapped_codes
from sensei.preferences.pair import REPAIR, Label, Reply, compare
from sensei.preferences.tables import SIDES, read_pairs, read_replies, states
from sensei.study.models.environment import EnvironmentConfig


def merge_shards(
    shard_paths: list[Path],
    pairs_path: str | Path,
    labels_path: str | Path,
    card_path: str | Path,
    environment: EnvironmentConfig,
    order: str = "random",
) -> dict[str, object]:
    """Make one table of labels of all shards, and a card that says how good they are.

    Args:
        shard_paths: every shard of the pairs.
        pairs_path: table of `make_pairs`.
        labels_path: parquet, one row a pair: pair, label (0 first, 1 second, 2 tie, 3 unknown, in the pair's own order; null if a
            request failed; see `agreed`), swapped (second side shown first), answer (as label, in the order shown), oracle (as label;
            null if the environment's state cannot be ranked), text, error, fault (why an answer is unknown, if the reply was none of
            those asked for). All but label and oracle are those of the pair's first question.
        card_path: json, the returned card.
        environment: whose states the oracle ranks.
        order: as in LabelsConfig.

    Returns:
        pairs, counts and shares of the labels, errors; faults: kind -> number of replies; of all answers order_bias: share of "first one
        shown" among clear ones; of pairs asked in both orders swap_consistency: share of equal labels, and first_twice and second_twice:
        share for which the same place was preferred in both; view_consistency: share of pairs that all views agree on; oracle: accuracy
        of the labels on the pairs clear to both, and Cohen's kappa over all codes. Shares with 95 % Wilson intervals.

    Raises:
        SenseiError: a shard is damaged, or the shards do not answer each pair once.
    """
    table = read_pairs(pairs_path)
    replies = _all_replies(shard_paths, len(table))
    primary = [next(iter(asked.values())) for asked in replies]
    labels = pd.DataFrame([reply.record() for reply in primary]).drop(columns="view")
    labels["answer"] = pd.array([reply.answer for reply in primary], dtype="Int8")
    labels.insert(1, "label", pd.array([agreed(list(asked.values()), order) for asked in replies], dtype="Int8"))
    labels["oracle"] = pd.array(oracle_labels(table, environment), dtype="Int8")
    with atomic(labels_path) as temporary:
        labels.astype({"text": str, "error": "string", "fault": "string"}).to_parquet(temporary, index=False)
    card = _card(labels, replies)
    write_json(card_path, card)
    return card


def _all_replies(shard_paths: list[Path], pairs: int) -> list[dict[tuple[str | None, bool], Reply]]:
    """For each pair (view, swapped) -> the reply, the pair's first question first."""
    replies: dict[int, dict[tuple[str | None, bool], Reply]] = {}
    for path in shard_paths:
        own: dict[int, dict[tuple[str | None, bool], Reply]] = {}
        for reply in read_replies(path):
            own.setdefault(reply.pair, {})[reply.view, reply.swapped] = reply  # the last reply counts: those before it failed
        if foreign := own.keys() & replies.keys() or own.keys() - set(range(pairs)):
            raise SenseiError(f"shard {path} answers pair {min(foreign)}, which is not its own", hint=REPAIR)
        replies |= own
    if missing := set(range(pairs)) - replies.keys():
        raise SenseiError(f"no shard answers pair {min(missing)}", found=f"{len(replies)} replies", expected=pairs, hint="annotate again")
    return [replies[pair] for pair in range(pairs)]


def agreed(replies: list[Reply], order: str) -> Label | None:
    """The label of a pair from the replies to all questions about it; None if one of those that count failed.

    With `order` "random" the first order asked counts, the other one is but for measuring. What counts must be alike in all orders and
    views (the paper asks about Robodesk in two views), else the label is unknown.
    """
    labels = {reply.label for reply in replies if order == "both" or reply.swapped == replies[0].swapped}
    if None in labels:
        return None
    return labels.pop() if len(labels) == 1 else Label.UNKNOWN


def oracle_labels(table: pd.DataFrame, environment: EnvironmentConfig) -> np.ndarray | list[None]:
    """The oracle's labels [N] of a table of pairs; None for each if it cannot rank these states."""
    kind, (first, second) = family(environment), (states(table, side) for side in SIDES)
    return compare(kind.ranks(first), kind.ranks(second)) if kind.can_rank(first) else [None] * len(table)


def _card(labels: pd.DataFrame, replies: list[dict[tuple[str | None, bool], Reply]]) -> dict[str, object]:
    answered = labels[labels["label"].notna()]
    label = answered["label"].to_numpy(np.int64)
    counts = {code.name.lower(): int((label == code).sum()) for code in Label}
    card: dict[str, object] = {
        "pairs": len(labels),
        "errors": len(labels) - len(answered),
        "faults": dict(Counter(reply.fault for asked in replies for reply in asked.values() if reply.fault)),
        "counts": counts,
        "shares": {name: count / len(answered) if len(answered) else None for name, count in counts.items()},
        **_consistency(replies),
        "oracle": None,
    }
    if answered["oracle"].notna().all():
        oracle = answered["oracle"].to_numpy(np.int64)
        card["oracle"] = {"accuracy": accuracy(label, oracle), "kappa": cohen_kappa(label, oracle)}
    return card


def _consistency(replies: list[dict[tuple[str | None, bool], Reply]]) -> dict[str, object]:
    """What the answers of pairs that were asked more than once say about the annotator."""
    answers = [reply.answer for asked in replies for reply in asked.values() if reply.answer is not None]
    turned = [
        (reply.answer, other.answer)
        for asked in replies
        for (view, swapped), reply in asked.items()
        if not swapped and (other := asked.get((view, True))) and None not in (reply.answer, other.answer)
    ]
    straight, reverse = np.array(turned, np.int64).reshape(-1, 2).T
    seen = [[reply.label for reply in asked.values() if reply.swapped == next(iter(asked))[1]] for asked in replies]
    return {
        "order_bias": order_bias(np.array(answers, np.int64)),
        "swap_consistency": proportion(straight == swapped_codes(reverse)),
        "first_twice": proportion((straight == Label.FIRST) & (reverse == Label.FIRST)),
        "second_twice": proportion((straight == Label.SECOND) & (reverse == Label.SECOND)),
        "view_consistency": proportion(np.array([len(set(views)) == 1 for views in seen if len(views) > 1 and None not in views], bool)),
    }
