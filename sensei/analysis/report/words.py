"""What the cards of labels and reward models say, in sentences."""

from typing import Any


def of_labels(card: dict[str, Any]) -> list[str]:
    """Sentences about one annotator's labels; what its card does not say is left out."""
    shares = {code: share for code, share in card["shares"].items() if share is not None}
    parts = ", ".join(f"{share:.0%} {code}" for code, share in shares.items())
    told = [f"{card['pairs']:,} pairs: {parts or 'none answered'}."]
    if errors := card.get("errors"):
        reasons = ", ".join(f"{count:,} {fault}" for fault, count in card.get("faults", {}).items())
        told.append(f"{errors:,} pairs have no label, since the annotator failed{f' ({reasons})' if reasons else ''}.")
    if bias := _share(card["order_bias"]):
        told.append(f"Of its clear answers {bias} prefer the picture shown first; half would, without bias.")
    if same := _share(card["swap_consistency"]):
        told.append(f"Asked again in the other order, it gives the same answer for {same}.")
    if same := _share(card.get("view_consistency")):
        told.append(f"Asked in another view, it gives the same answer for {same}.")
    if oracle := card.get("oracle"):
        if agreed := _share(oracle["accuracy"]):
            told.append(f"Of the pairs that are clear to both it and the oracle, {agreed} are answered as by the oracle.")
        if oracle.get("kappa") is not None:
            told.append(f"Over all four answers it agrees with the oracle with Cohen's kappa {oracle['kappa']:.2f}.")
    return told


def of_reward_model(card: dict[str, Any]) -> list[str]:
    """Sentences about one reward model."""
    told = []
    if pairs := card.get("pairs"):
        told.append(f"Learned from {pairs['training']:,} pairs, measured on {pairs['validation']:,} others.")
    told.append(
        f"Epoch {card['chosen_epoch']} was taken ({card.get('criterion', 'lowest validation loss')}: {card['validation_loss']:.3f})."
    )
    for key, whose in (("held_out", "the annotator's own labels"), ("oracle", "the oracle")):
        if right := _share(card[key]):
            told.append(f"It ranks {right} of clear held-out pairs as {whose} {'do' if key == 'held_out' else 'does'}.")
    return told


def _share(proportion: dict[str, Any] | None) -> str:
    """96 % of 800 (94 to 97 %); nothing if there is none."""
    if not proportion or not proportion.get("count") or proportion["share"] is None:
        return ""
    share, low, high = (100 * proportion[key] for key in ("share", "low", "high"))
    return f"{share:.1f} % of {proportion['count']:,} ({low:.1f} to {high:.1f} %)"
