"""How good labels are: order bias, and agreement with a reference, with 95 % Wilson intervals."""

import numpy as np

from sensei.preferences.pair import Label

CLEAR = (Label.FIRST, Label.SECOND)


def proportion(hits: np.ndarray) -> dict[str, float | int | None]:
    """Share of true values of bool [N], its 95 % Wilson interval and N; shares are None if N is 0."""
    count = len(hits)
    if count == 0:
        return {"share": None, "low": None, "high": None, "count": 0}
    low, high = wilson(int(hits.sum()), count)
    return {"share": float(hits.mean()), "low": low, "high": high, "count": count}


def wilson(hits: int, count: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a share: (low, high)."""
    from scipy.stats import binomtest  # half a second, which every dry run would wait for

    interval = binomtest(hits, count).proportion_ci(0.95, method="wilson")
    return float(interval.low), float(interval.high)


def swapped_codes(labels: np.ndarray) -> np.ndarray:
    """The labels [N] if the two sides of every pair changed places."""
    return np.array([label.swapped for label in Label])[labels]


def order_bias(answers: np.ndarray) -> dict[str, float | int | None]:
    """How often the first one shown is preferred, among clear answers; 0.5 without bias, since the order is random.

    Args:
        answers: labels [N] in the order shown.
    """
    return proportion(answers[np.isin(answers, CLEAR)] == Label.FIRST)


def accuracy(labels: np.ndarray, reference: np.ndarray) -> dict[str, float | int | None]:
    """Share of equal labels among the pairs that are clear to both; labels [N] in the pairs' own order."""
    both = np.isin(labels, CLEAR) & np.isin(reference, CLEAR)
    return proportion(labels[both] == reference[both])


def cohen_kappa(labels: np.ndarray, reference: np.ndarray) -> float | None:
    """Cohen's kappa over all four codes: agreement beyond chance, 1 at best; None if there is none to compute it from."""
    counts = np.zeros((len(Label), len(Label)))
    np.add.at(counts, (labels, reference), 1)
    total = counts.sum()
    if total == 0:
        return None
    observed = np.trace(counts) / total
    chance = (counts.sum(0) @ counts.sum(1)) / total**2
    return None if chance == 1 else float((observed - chance) / (1 - chance))
