"""Statistics against scipy and known values."""

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, strategies
from hypothesis.extra.numpy import arrays

from sensei.analysis import statistics
from sensei.core.rng import generator

SCORES = np.random.default_rng(7).gamma(2.0, size=(3, 10)) * np.array([[1.0], [2.0], [4.0]])


@given(arrays(float, strategies.tuples(strategies.integers(1, 4), strategies.integers(1, 12)), elements=strategies.floats(-1e3, 1e3)))
def test_interquartile_mean_is_scipys_trimmed_mean(scores):
    assert statistics.interquartile_mean(scores) == pytest.approx(scipy.stats.trim_mean(scores, 0.25, axis=None), rel=1e-9, abs=1e-9)


def test_interquartile_mean_of_known_values():
    assert statistics.interquartile_mean(np.array([[0.0, 1, 2, 100], [1, 2, 3, -50]])) == pytest.approx((1 + 1 + 2 + 2) / 4)


@pytest.mark.parametrize(
    ("statistic", "of_one_stratum"),
    [
        (statistics.mean, lambda scores, axis: scores.mean(axis=axis)),
        (statistics.interquartile_mean, lambda scores, axis: scipy.stats.trim_mean(scores, 0.25, axis=axis)),
    ],
)
def test_interval_of_one_stratum_is_scipys(statistic, of_one_stratum):
    scores = SCORES[:1]
    ours = statistics.bootstrap_interval(scores, generator(0, "test"), statistic, resamples=20_000)
    expected = scipy.stats.bootstrap(
        (scores[0],), of_one_stratum, n_resamples=20_000, method="percentile", rng=np.random.default_rng(1), vectorized=True
    ).confidence_interval
    assert ours == pytest.approx((expected.low, expected.high), rel=0.02)


def test_stratified_interval_of_the_mean_is_scipys():
    """Strata are independent samples to scipy."""
    ours = statistics.bootstrap_interval(SCORES, generator(0, "test"), resamples=20_000)
    expected = scipy.stats.bootstrap(
        tuple(SCORES),
        lambda a, b, c, axis: (a.mean(axis=axis) + b.mean(axis=axis) + c.mean(axis=axis)) / 3,
        n_resamples=20_000,
        method="percentile",
        rng=np.random.default_rng(1),
        vectorized=True,
    ).confidence_interval
    assert ours == pytest.approx((expected.low, expected.high), rel=0.02)


def test_resampling_stays_within_strata():
    samples = statistics.resample(np.array([[0.0, 1, 2], [10, 11, 12]]), generator(0, "test"))
    assert samples.shape == (2000, 2, 3)
    assert samples[:, 0].max() <= 2 and samples[:, 1].min() >= 10


def test_band_of_curves_is_the_interval_at_each_step():
    curves = SCORES[0][:, None] * np.array([1.0, 3.0])
    low, high = statistics.bootstrap_band(curves, generator(0, "test"), resamples=20_000)
    expected = statistics.bootstrap_interval(SCORES[:1], generator(1, "test"), resamples=20_000)
    assert (low[0], high[0]) == pytest.approx(expected, rel=0.02)
    assert high[1] == pytest.approx(3 * high[0])


def test_one_seed_has_no_interval():
    assert np.isnan(statistics.bootstrap_interval(np.array([[1.0]]), generator(0, "test"))).all()
    assert np.isnan(statistics.bootstrap_band(np.array([[1.0, 2.0]]), generator(0, "test"))).all()
    one, three = np.array([[1.0]]), np.array([[2.0, 3.0, 5.0]])
    for scores, others in ((one, three), (three, one), (one, one)):
        interval = statistics.comparison_interval(statistics.probability_of_improvement, scores, others, generator(0, "test"))
        assert np.isnan(interval).all() and np.isnan(statistics.difference_interval(scores, others)).all()
    for kind in ("standard error", "standard deviation", statistics.BOOTSTRAP):
        ends, named = statistics.error_bars(np.array([[1.0, 2.0]]), kind, generator(0, "test"))
        assert np.isnan(ends).all() and named == "none"


def test_one_generator_one_interval():
    first, again, other = (statistics.bootstrap_interval(SCORES, generator(seed, "test")) for seed in (0, 0, 1))
    assert first == again != other


def test_probability_of_improvement_of_known_values():
    better, worse = np.array([[3.0, 4.0], [1.0, 1.0]]), np.array([[1.0, 2.0, 3.0], [1.0, 1.0, 1.0]])
    assert statistics.probability_of_improvement(better, worse) == pytest.approx(((5.5 / 6) + 0.5) / 2)
    assert statistics.probability_of_improvement(better, worse) + statistics.probability_of_improvement(worse, better) == pytest.approx(1)


def test_probability_of_improvement_is_mann_whitneys():
    a, b = SCORES[0], SCORES[1]
    expected = scipy.stats.mannwhitneyu(a, b).statistic / (len(a) * len(b))
    assert statistics.probability_of_improvement(a[None], b[None]) == pytest.approx(expected)


def test_standard_error_has_divisor_n():
    assert statistics.standard_error(np.array([0.0, 0.0, 0.0, 0.0, 1.0])) == pytest.approx(0.4 / np.sqrt(5))
    assert statistics.standard_error(SCORES[0]) == pytest.approx(scipy.stats.sem(SCORES[0], ddof=0))


@given(
    arrays(float, strategies.tuples(strategies.integers(1, 3), strategies.integers(1, 9)), elements=strategies.floats(-10, 10)),
    strategies.integers(1, 5),
)
def test_moving_average_is_the_mean_of_the_last_values(values, window):
    expected = [[row[max(0, end - window) : end].mean() for end in range(1, len(row) + 1)] for row in values]
    np.testing.assert_allclose(statistics.moving_average(values, window), expected, atol=1e-9)
