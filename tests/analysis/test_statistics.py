"""Statistics against scipy, rliable and known values, and how often intervals cover the truth."""

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


# What rliable 1.2.0 says of these arrays (metrics.aggregate_iqm, aggregate_optimality_gap, probability_of_improvement); it cannot be
# installed beside pandas 3 with all that it asks for.
RLIABLE = (np.arange(30) * 7 % 31 / 25).reshape(3, 10), (np.arange(24) * 11 % 25 / 25).reshape(3, 8)


def test_aggregates_are_rliables():
    scores, others = RLIABLE
    assert statistics.interquartile_mean(scores) == pytest.approx(0.58)
    assert statistics.optimality_gap(scores) == pytest.approx(0.432)
    assert statistics.probability_of_improvement(scores, others) == pytest.approx(0.5833333333)


def test_optimality_gap_of_known_values():
    assert statistics.optimality_gap(np.array([[0.5, 1.5], [0.0, 1.0]])) == pytest.approx((0.5 + 0 + 1 + 0) / 4)
    assert statistics.optimality_gap(np.array([[3.0]]), optimum=5) == 2


def test_performance_profile_is_one_less_the_distribution():
    thresholds = np.linspace(-1, 12, 40)
    expected = scipy.stats.ecdf(SCORES[0]).sf.evaluate(thresholds)
    np.testing.assert_allclose(statistics.performance_profile(SCORES[:1], thresholds), expected)
    both = statistics.performance_profile(np.array([[1.0, 1, 1], [0, 0, 1]]), np.array([-1.0, 0, 1]))
    np.testing.assert_allclose(both, [1, (1 + 1 / 3) / 2, 0])
    low, high = statistics.profile_band(SCORES, thresholds, generator(0, "test"))
    profile = statistics.performance_profile(SCORES, thresholds)
    assert (low <= profile).all() and (profile <= high).all() and (high - low).max() > 0.1
    assert np.isnan(statistics.profile_band(SCORES[:, :1], thresholds, generator(0, "test"))).all()


def test_difference_interval_of_one_stratum_is_scipys():
    ours = statistics.difference_interval(SCORES[:1], SCORES[1:2, :6])
    expected = scipy.stats.ttest_ind(SCORES[0], SCORES[1, :6], equal_var=False).confidence_interval()
    assert ours == pytest.approx((expected.low, expected.high))


def test_difference_interval_over_strata():
    shift = np.array([[0.0], [50.0], [-20.0]])  # of both methods, so it cancels
    plain = statistics.difference_interval(SCORES, SCORES[:, ::-1] + 1)
    assert statistics.difference_interval(SCORES + shift, SCORES[:, ::-1] + 1 + shift) == pytest.approx(plain)
    assert np.mean(plain) == pytest.approx(-1)
    same = statistics.difference_interval(np.repeat(SCORES[:1], 3, axis=0), np.repeat(SCORES[1:2], 3, axis=0))
    alone = statistics.difference_interval(SCORES[:1], SCORES[1:2])
    assert np.ptp(same) < np.ptp(alone) / 1.7
    assert np.isnan(statistics.difference_interval(np.ones((1, 3)), np.zeros((1, 3)))).all()


@pytest.mark.parametrize("seeds, mean_covers", [(3, (0.66, 0.80)), (5, (0.77, 0.88)), (10, (0.84, 0.93))])
@pytest.mark.parametrize("draw", [lambda rng, shape: rng.normal(size=shape), lambda rng, shape: rng.gamma(2, size=shape) - 2])
def test_coverage_of_the_intervals_on_simulated_studies(draw, seeds, mean_covers):
    """The 95 % bootstrap interval of the mean is too narrow with few seeds, as the module says; the interval of a difference is not."""
    rng, studies, mean, difference = np.random.default_rng(seeds), 500, 0, 0
    for _ in range(studies):
        scores, others = draw(rng, (1, seeds)), draw(rng, (1, seeds))
        low, high = statistics.bootstrap_interval(scores, rng, resamples=400)
        mean += low <= 0 <= high
        low, high = statistics.difference_interval(scores, others)
        difference += low <= 0 <= high
    assert mean_covers[0] <= mean / studies <= mean_covers[1]
    assert 0.93 <= difference / studies <= 0.995


def test_stratified_intervals_of_the_interquartile_mean_cover_it():
    """Three tasks of different difficulty, ten seeds; the truth by a million runs of each."""
    rng = np.random.default_rng(0)
    levels = np.array([[0.2], [0.5], [0.8]])

    def draw(seeds: int) -> np.ndarray:
        return rng.binomial(10, levels, size=(3, seeds)) / 10

    truth = statistics.interquartile_mean(draw(1_000_000))
    intervals = [statistics.bootstrap_interval(draw(10), rng, statistics.interquartile_mean, resamples=400) for _ in range(300)]
    assert 0.87 <= np.mean([low <= truth <= high for low, high in intervals]) <= 0.99


def test_error_bars_are_of_the_kind_that_is_asked_for():
    curves = SCORES[0][:, None] * np.array([1.0, 3.0])
    mean = curves.mean(axis=0)
    ends, kind = statistics.error_bars(curves, "standard deviation", generator(0, "test"))
    np.testing.assert_allclose(ends, [mean - curves.std(axis=0), mean + curves.std(axis=0)])
    assert kind == "standard deviation"
    ends, _ = statistics.error_bars(curves, "standard error", generator(0, "test"))
    np.testing.assert_allclose(ends[1] - mean, scipy.stats.sem(curves, ddof=0))
    ends, _ = statistics.error_bars(curves, statistics.BOOTSTRAP, generator(0, "test"))
    np.testing.assert_array_equal(ends, statistics.bootstrap_band(curves, generator(0, "test")))


STEPS = np.array([0.0, 100, 200, 300])


@pytest.mark.parametrize(
    "curve, level, expected",
    [
        ([0, 0.2, 0.6, 1], 0.4, (150, 150)),
        ([0, 0.2, 0.6, 0.1], 0.6, (200, 200)),
        ([0.7, 0.2, 0.6, 1], 0.5, (100, 100)),  # there before any training: one interval, for less was not measured
        ([0, 0.2, 0.3, 0.4], 0.5, (300, np.inf)),
        ([0, 0.5, 0.5, 1], 0.5, (100, 100)),
    ],
)
def test_steps_to_a_score(curve, level, expected):
    low, high = statistics.steps_to(level, STEPS, np.array([curve]))
    assert (low, high) == pytest.approx(expected)


def test_steps_are_those_of_the_mean_curve():
    low, high = statistics.steps_to(0.5, STEPS, np.array([[0, 1, 1, 1], [0, 0, 0, 0.5]]))
    assert low == high == 100
    many = statistics.steps_to(0.5, STEPS, np.zeros((7, 2, 4)))
    assert many[0].tolist() == [300] * 7 and np.isinf(many[1]).all()


def test_efficiency_is_bounded_by_what_was_seen():
    fast, slow, never = (np.array(values) for values in ((100.0, 100.0), (1000.0, 1000.0), (2000.0, np.inf)))
    assert statistics.efficiency(fast, slow) == (10, 10)
    assert statistics.efficiency(fast, never) == (20, np.inf)
    assert statistics.efficiency(never, slow) == (0, 0.5)
    assert statistics.efficiency(never, never) == (0, np.inf)


def test_efficiency_interval_covers_the_ratio_of_simulated_learners():
    """Learners whose curves rise after a number of steps of their own: the second needs ten times as many, on average."""
    rng, steps = np.random.default_rng(1), np.linspace(0, 40_000, 401)

    def learners(delay: float, seeds: int) -> np.ndarray:
        return np.clip((steps - rng.normal(delay, 0.2 * delay, size=(seeds, 1))) / (0.1 * delay) + 0.5, 0, 1)

    truth = statistics.efficiency(*(statistics.steps_to(0.5, steps, learners(delay, 5_000)) for delay in (1_500, 15_000)))[0]
    assert truth == pytest.approx(10, rel=0.05)
    found = [
        statistics.efficiency_interval(0.5, (steps, learners(1_500, 10)), (steps, learners(15_000, 10)), rng, resamples=200)
        for _ in range(40)
    ]
    assert np.mean([low <= truth <= high for low, high in found]) >= 0.8
    assert all(1 < low < 10.5 and 9 < high < 20 for low, high in found)
    flat = np.zeros((10, 401))
    low, high = statistics.efficiency_interval(0.5, (steps, learners(1_500, 10)), (steps, flat), rng)
    assert 20 < low < 40 and np.isinf(high)
    assert np.isnan(statistics.efficiency_interval(0.5, (steps, flat[:1]), (steps, flat), rng)).all()


def test_spread_over_settings_is_relative_and_without_what_chance_adds():
    means = np.array([[10.0, 20, 30], [5, 5, 5], [0, 0, 0]])
    np.testing.assert_allclose(statistics.relative_spread(means, 0), [0.5, 0, 0])
    np.testing.assert_allclose(statistics.relative_spread(means[:1], 64.0), [6 / 20])
    assert statistics.relative_spread(means[:1], 1e6) == 0, "more noise than spread is none"
    scaled = statistics.relative_spread(7 * means, 0)
    np.testing.assert_allclose(scaled, statistics.relative_spread(means, 0))


@pytest.mark.parametrize("settings, spread", [(6, 0.6), (4, 0.2), (4, 0.0)])
def test_the_interval_of_a_spread_covers_it_with_three_runs_a_setting(settings, spread):
    """Settings whose true means are fixed, runs that scatter about them by a quarter of these: found in 89 to 97 of 100."""
    rng, runs = np.random.default_rng(3), 3
    pattern = np.linspace(-1, 1, settings)
    truth = 100 * (1 + spread * pattern / pattern.std(ddof=1))
    covered = []
    for _ in range(200):
        seen = np.maximum(truth + 0.25 * truth * rng.standard_normal((runs, settings)), 0)
        errors = seen.std(axis=0, ddof=1) / np.sqrt(runs)
        low, high = statistics.middle(statistics.resampled_spread(seen.mean(axis=0)[None], errors[None], rng, 400)[:, 0])
        covered.append(low <= statistics.relative_spread(truth, 0) <= high)
    assert np.mean(covered) >= 0.87


def test_the_spread_of_single_runs_has_no_interval():
    drawn = statistics.resampled_spread(np.array([[1.0, 2], [3, 4]]), np.array([[np.nan, np.nan], [0.1, 0.1]]), generator(0, "test"), 10)
    assert np.isnan(drawn[:, 0]).all() and np.isfinite(drawn[:, 1]).all()
    assert np.isnan(statistics.middle(drawn[:, 0])).all()
