"""The gate before distillation: whether a set of labels is good enough to train anything on."""

from pathlib import Path

from pydantic import BaseModel, ValidationError

from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.study.models.preferences import LabelsConfig


def faults(card: dict, limits: LabelsConfig) -> list[str]:
    """What is wrong with labels, a sentence each; none if they may be used.

    A share counts as beyond its limit if its whole 95 % interval is, so that a small set is not refused by chance.

    Args:
        card: as `merge_shards` makes it.
        limits: thresholds of the study.
    """
    found = []
    bias, consistency = card["order_bias"], card.get("swap_consistency")
    if _over(lean(bias), limits.largest_order_bias):
        place = "first" if bias["share"] > 0.5 else "second"
        found.append(
            f"the position decides: {_share(bias)} of the clear answers prefer the first picture shown, which leans to the {place} by "
            f"{abs(2 * bias['share'] - 1):.0%}; `labels.largest_order_bias` is {limits.largest_order_bias:.0%}"
        )
    if _under(consistency, limits.smallest_swap_consistency):
        found.append(
            f"only {_share(consistency)} of the answers stay the same when the pictures change places; "
            f"`labels.smallest_swap_consistency` is {limits.smallest_swap_consistency:.0%}"
        )
    agreement = (card.get("oracle") or {}).get("accuracy")
    if _under(agreement, limits.smallest_agreement):
        found.append(
            f"only {_share(agreement)} of the clear labels agree with the oracle; "
            f"`labels.smallest_agreement` is {limits.smallest_agreement:.0%}"
        )
    unknown = card["shares"]["unknown"]
    if unknown is not None and limits.largest_unknown is not None and unknown > limits.largest_unknown:
        found.append(f"{unknown:.1%} of the labels are unknown; `labels.largest_unknown` is {limits.largest_unknown:.0%}")
    return found


class Measured(BaseModel):
    """A share with its 95 % interval; None where there was nothing to measure."""

    share: float | None
    low: float | None
    high: float | None
    count: int


class Shares(BaseModel):
    """What of the shares of the labels is judged."""

    unknown: float | None


class Agreement(BaseModel):
    """What of the oracle's part of a card is judged."""

    accuracy: Measured


class Card(BaseModel):
    """What of a card of labels is judged here; `merge_shards` says what all of it is."""

    order_bias: Measured
    swap_consistency: Measured | None
    shares: Shares
    oracle: Agreement | None


def read_card(path: Path) -> dict:
    """A card of labels.

    Raises:
        SenseiError: it is damaged, or a card of something else.
    """
    card = read_json(path)
    try:
        Card.model_validate(card)
    except ValidationError as error:
        fault = error.errors()[0]
        found = f"`{'.'.join(map(str, fault['loc']))}`: {fault['msg']}" if fault["loc"] else fault["msg"]
        raise SenseiError(f"{path} is damaged, or no card of labels", found=found, hint=f"delete {path} and run again") from error
    return card


def require_trust(card: dict, limits: LabelsConfig, annotator: str, environment: str) -> None:
    """Pass labels that are good enough.

    Raises:
        SenseiError: they are not; the message has the card's numbers and what can be done.
    """
    if found := faults(card, limits):
        hint = (
            "nothing was distilled. Try `labels: {order: both}`, which keeps consistent answers only; another model or prompt; or, to use "
            "them as they are, other limits under `labels:` in the study"
        )
        raise SenseiError(f"the labels of {annotator} for {environment} are not to be trusted: {'; '.join(found)}", hint=hint)


def lean(bias: dict) -> dict:
    """By how much clear answers lean to one place, |2 p - 1| of the share p of "first one shown": share, low and high."""
    if bias["share"] is None:
        return bias
    ends = sorted(abs(2 * bias[end] - 1) for end in ("low", "high"))
    inside = bias["low"] <= 0.5 <= bias["high"]
    return {"share": abs(2 * bias["share"] - 1), "low": 0.0 if inside else ends[0], "high": ends[1], "count": bias["count"]}


def _over(measured: dict, limit: float | None) -> bool:
    return limit is not None and measured["share"] is not None and measured["low"] > limit


def _under(measured: dict | None, limit: float | None) -> bool:
    return limit is not None and measured is not None and measured["share"] is not None and measured["high"] < limit


def _share(measured: dict) -> str:
    return f"{measured['share']:.1%} [{measured['low']:.1%}, {measured['high']:.1%}] of {measured['count']:,}"
