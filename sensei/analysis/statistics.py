"""Aggregates over tasks and seeds with their stratified bootstrap intervals (Agarwal et al. 2021, arXiv 2108.13264), differences between
methods, and how many steps they need.

Scores are arrays [strata, seeds]: one row per environment or task, one column per run. Resampling draws runs within each row
and never across rows. Own code because it is short, a hundred times faster than rliable and honours its generator.

Few seeds make the bootstrap too sure: its 95 % interval of a mean covers the true one in some 70 to 75 of 100 studies with 3 seeds, in
80 to 84 with 5, in 85 to 90 with 10 (tests/analysis/test_statistics.py). Differences have Welch's interval, which covers 95.
"""

from collections.abc import Callable

import numpy as np

Statistic = Callable[[np.ndarray], np.ndarray]
Comparison = Callable[[np.ndarray, np.ndarray], np.ndarray]
BOOTSTRAP, NO_ERROR = "95 % bootstrap", "none"
RESAMPLES = 2_000
CONFIDENCE = 0.95


def mean(scores: np.ndarray) -> np.ndarray:
    """Mean over strata and seeds: [..., strata, seeds] -> [...]."""
    return scores.mean(axis=(-2, -1))


def interquartile_mean(scores: np.ndarray) -> np.ndarray:
    """Mean of the middle half of all scores, strata pooled: [..., strata, seeds] -> [...].

    A quarter of the values, rounded down, is cut from either end, as in scipy.stats.trim_mean(scores, 0.25, axis=None).
    """
    pooled = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = pooled.shape[-1] // 4
    return pooled[..., cut : pooled.shape[-1] - cut].mean(axis=-1)


def optimality_gap(scores: np.ndarray, optimum: float = 1.0) -> np.ndarray:
    """By how much scores fall short of `optimum` on average, those above it not at all: [..., strata, seeds] -> [...]."""
    return np.maximum(optimum - scores, 0).mean(axis=(-2, -1))


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of runs whose score is above each threshold, strata weighing the same: [..., strata, seeds], [T] -> [..., T]."""
    return (scores[..., None] > thresholds).mean(axis=(-3, -2))


def standard_error(scores: np.ndarray, axis: int = -1) -> np.ndarray:
    """Standard error with divisor n, as the paper's error bars have it: standard deviation (divisor n) over sqrt(n)."""
    return scores.std(axis=axis, ddof=0) / np.sqrt(scores.shape[axis])


def probability_of_improvement(scores: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Chance that a run of `scores` beats a run of `others` in the same stratum, ties counting half; mean over strata.

    Args:
        scores: [..., strata, seeds].
        others: [..., strata, seeds of the others].

    Returns:
        [...], in [0, 1].
    """
    difference = scores[..., :, None] - others[..., None, :]
    return (0.5 + 0.5 * np.sign(difference)).mean(axis=(-3, -2, -1))


def resample(scores: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """`resamples` stratified bootstrap samples: [strata, seeds] -> [resamples, strata, seeds]."""
    assert scores.ndim == 2 and scores.shape[1] > 0, scores.shape
    picks = rng.integers(scores.shape[1], size=(resamples, *scores.shape))
    return np.take_along_axis(scores[None], picks, axis=-1)


def bootstrap_band(curves: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE) -> np.ndarray:
    """Pointwise percentile band of the mean curve, whole runs resampled: [seeds, steps] -> [2, steps] (low, high).

    NaN if there is one seed.
    """
    if len(curves) == 1:
        return np.full((2, curves.shape[1]), np.nan)
    picks = rng.integers(len(curves), size=(resamples, len(curves)))
    shares = np.stack([(picks == run).mean(axis=1) for run in range(len(curves))], axis=1)  # [resamples, seeds]
    return _percentiles(shares @ curves, confidence)


def bootstrap_interval(
    scores: np.ndarray, rng: np.random.Generator, statistic: Statistic = mean, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Percentile interval of `statistic` under stratified resampling of `scores` [strata, seeds]: (low, high); NaN if there is one seed."""
    if scores.shape[1] == 1:
        return np.nan, np.nan
    low, high = _percentiles(statistic(resample(scores, rng, resamples)), confidence)
    return float(low), float(high)


def profile_band(
    scores: np.ndarray, thresholds: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES, confidence: float = CONFIDENCE
) -> np.ndarray:
    """Pointwise percentile band of `performance_profile` under stratified resampling: [strata, seeds], [T] -> [2, T]; NaN if there is one
    seed."""
    if scores.shape[1] == 1:
        return np.full((2, len(thresholds)), np.nan)
    return _percentiles(performance_profile(resample(scores, rng, resamples), thresholds), confidence)


def comparison_interval(
    compare: Comparison,
    scores: np.ndarray,
    others: np.ndarray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Percentile interval of `compare` of two methods [strata, seeds], resampled independently: (low, high); NaN if one has one seed."""
    if 1 in (scores.shape[1], others.shape[1]):
        return np.nan, np.nan
    low, high = _percentiles(compare(resample(scores, rng, resamples), resample(others, rng, resamples)), confidence)
    return float(low), float(high)


def difference_interval(scores: np.ndarray, others: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Welch's interval of the difference between two methods' means, [strata, seeds] each, strata weighing the same: (low, high).

    Of one stratum it is `scipy.stats.ttest_ind(..., equal_var=False)`'s; of several, variances and degrees of freedom (Satterthwaite) are
    those of the mean over strata. NaN if a method has one seed, or no run differs from another.
    """
    from scipy.stats import t

    if 1 in (scores.shape[1], others.shape[1]):
        return np.nan, np.nan
    parts = [method.var(axis=1, ddof=1) / method.shape[1] / len(method) ** 2 for method in (scores, others)]
    variance = sum(part.sum() for part in parts)
    if variance == 0:
        return np.nan, np.nan
    freedom = variance**2 / sum((part**2).sum() / (method.shape[1] - 1) for part, method in zip(parts, (scores, others), strict=True))
    half = t.ppf((1 + confidence) / 2, freedom) * np.sqrt(variance)
    difference = scores.mean() - others.mean()
    return float(difference - half), float(difference + half)


def error_bars(values: np.ndarray, kind: str, rng: np.random.Generator) -> tuple[np.ndarray, str]:
    """Error bars of the mean over seeds, of a kind in the paper's words or `BOOTSTRAP`.

    Args:
        values: [seeds, points].
        kind: "standard error" and "standard deviation", divisor n, to either side of the mean; or `BOOTSTRAP`.

    Returns:
        Their ends [2, points] and their kind; NaN and `NO_ERROR` if there is one seed.
    """
    if len(values) == 1:
        return np.full((2, values.shape[1]), np.nan), NO_ERROR
    if kind == BOOTSTRAP:
        return bootstrap_band(values, rng), kind
    width = {"standard error": standard_error, "standard deviation": np.std}[kind](values, axis=0)
    return np.stack([values.mean(axis=0) - width, values.mean(axis=0) + width]), kind


def relative_spread(means: np.ndarray, noise: np.ndarray | float) -> np.ndarray:
    """How far the true means of several settings lie apart: their standard deviation (divisor k - 1) over their mean; 0 where all agree.

    Args:
        means: of runs at each setting, not negative and not all zero [..., settings].
        noise: mean over settings of the variance that `means` have from few runs [...]; taken out, or chance would count as spread.
    """
    variance = np.maximum(means.var(axis=-1, ddof=1) - noise, 0)
    level = means.mean(axis=-1)
    return np.divide(np.sqrt(variance), level, out=np.zeros_like(level), where=level > 0)


def resampled_spread(means: np.ndarray, errors: np.ndarray, rng: np.random.Generator, resamples: int = RESAMPLES) -> np.ndarray:
    """`relative_spread` of means drawn anew around those measured, from normal distributions: [strata, settings] -> [resamples, strata].

    What is drawn has the noise twice, measured and drawn, and both are taken out. The middle 95 % cover the true spread in 89 to 97 of 100
    simulated studies with 3 runs a setting, in 92 to 99 with 10 (tests/analysis/test_statistics.py).

    Args:
        errors: standard errors of `means`, divisor n - 1 [strata, settings]; NaN, of single runs, gives NaN.
    """
    drawn = means + errors * rng.standard_normal((resamples, *means.shape))
    spread = relative_spread(np.maximum(drawn, 0), 2 * (errors**2).mean(axis=-1))
    return np.where(np.isnan(errors).any(axis=-1), np.nan, spread)


def middle(drawn: np.ndarray, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Ends of the middle `confidence` of resamples [resamples]: (low, high); NaN if any is."""
    low, high = _percentiles(drawn, confidence)
    return float(low), float(high)


def steps_to(level: float, steps: np.ndarray, curves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Between which numbers of steps the mean curve over seeds first reaches `level`.

    Args:
        steps: of the evaluations [T], rising.
        curves: [..., seeds, T].

    Returns:
        Two equal numbers [...] where it does, interpolated between evaluations; at least the first interval between them, since less was
        not measured. Where it never does, the last step and infinity.
    """
    means = curves.mean(axis=-2)
    reached = means >= level
    after = reached.argmax(axis=-1)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(means, index[..., None], axis=-1)[..., 0] for index in (before, after))
    share = np.divide(level - low, high - low, out=np.ones_like(high), where=high > low)
    found = np.maximum(steps[before] + share * (steps[after] - steps[before]), steps[1] - steps[0])
    ever = reached.any(axis=-1)
    return np.where(ever, found, steps[-1]), np.where(ever, found, np.inf)


def efficiency(steps: tuple[np.ndarray, np.ndarray], others: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """How many times the steps the others need, between two bounds, from what `steps_to` says of both; 0, infinity if neither arrives."""
    with np.errstate(invalid="ignore"):
        low, high = others[0] / steps[1], others[1] / steps[0]
    return low, high


def efficiency_interval(
    level: float,
    runs: tuple[np.ndarray, np.ndarray],
    others: tuple[np.ndarray, np.ndarray],
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> tuple[float, float]:
    """Percentile interval of `efficiency`, whole runs of both methods resampled: (low, high); NaN if either has one seed.

    A resample in which a method does not arrive counts with its lower bound for the low end and its upper bound for the high end, so the
    interval is as wide as what was not seen allows.

    Args:
        runs, others: steps [T] and curves [seeds, T] of a method.
    """
    if 1 in (len(runs[1]), len(others[1])):
        return np.nan, np.nan
    drawn = [steps_to(level, steps, curves[rng.integers(len(curves), size=(resamples, len(curves)))]) for steps, curves in (runs, others)]
    low, high = efficiency(*drawn)
    tail = (1 - confidence) / 2
    return float(np.quantile(low, tail)), float(np.quantile(high, 1 - tail, method="higher"))


def _percentiles(drawn: np.ndarray, confidence: float) -> np.ndarray:
    """Ends of the middle `confidence` of resamples: [resamples, ...] -> [2, ...]."""
    return np.quantile(drawn, [(1 - confidence) / 2, (1 + confidence) / 2], axis=0)


def moving_average(values: np.ndarray, window: int) -> np.ndarray:
    """Mean over the last `window` entries of the last axis; over fewer at its start. Same shape."""
    sums = np.cumsum(values, axis=-1, dtype=float)
    counts = np.minimum(np.arange(1, values.shape[-1] + 1), window)
    sums[..., window:] = sums[..., window:] - sums[..., :-window].copy()
    return sums / counts
