"""Go/explore switch against numpy versions of both gates (paper Eqs. 7 and 8, and the released code)."""

import numpy as np
import pytest
import torch

from sensei.exploration.switch import Switch
from sensei.study.models.exploration import ExplorationConfig

SOURCES = ["semantic", "disagreement", "extrinsic"]
CONFIG = ExplorationConfig(
    percentile=75,
    go={"semantic": 1.0, "disagreement": 0.1, "extrinsic": 7.0},
    explore={"semantic": 0.3, "disagreement": 1.0, "extrinsic": 0.5},
)
TOTAL = 0.3 + 1.0 + 0.5
GO, EXPLORE = np.array([1.0, 0.1, 0.5]) / TOTAL, np.array([0.3, 1.0, 0.5]) / TOTAL  # the extrinsic weight is never gated
DECAY = 0.99


def expected_weights(explores: np.ndarray) -> np.ndarray:
    return np.where(explores[None], EXPLORE[:, None, None], GO[:, None, None])


def planted(seed: int, updates: int = 12) -> list[np.ndarray]:
    """Signals float32 [horizon, rows] that drift, so that the running value differs from each batch's own."""
    rng = np.random.default_rng(seed)
    return [(rng.normal(size=(5, 40)) * (1 + update) + 3 * update - 10).astype(np.float32) for update in range(updates)]


def test_paper_gate_is_a_running_quantile_of_the_reward():
    switch, average = Switch("reward_quantile", CONFIG, SOURCES, DECAY), 0.0
    unrelated = torch.full((5, 40), 1e6)
    shares = []
    for update, reward in enumerate(planted(0), start=1):
        average = DECAY * average + (1 - DECAY) * np.percentile(reward, 75)
        explores = reward >= average / (1 - DECAY**update)
        weights, share = switch(torch.from_numpy(reward), unrelated)
        np.testing.assert_allclose(weights.numpy(), expected_weights(explores), rtol=1e-6)
        assert share.item() == pytest.approx(explores.mean(), abs=1e-6)
        shares.append(explores.mean())
    assert min(shares) > 0
    assert max(shares) < 1


def test_released_gate_is_a_running_range_of_the_returns():
    switch, low, high = Switch("return_range", CONFIG, SOURCES, DECAY), 0.0, 0.0
    unrelated = torch.full((5, 40), 1e6)
    thresholds = []
    for returns in planted(1, updates=60):
        low = DECAY * low + (1 - DECAY) * np.percentile(returns, 5)
        high = DECAY * high + (1 - DECAY) * np.percentile(returns, 75)
        thresholds.append(max(1.0, high - low))
        explores = returns >= thresholds[-1]
        weights, share = switch(unrelated, torch.from_numpy(returns))
        np.testing.assert_allclose(weights.numpy(), expected_weights(explores), rtol=1e-6)
        assert share.item() == pytest.approx(explores.mean(), abs=1e-6)
    assert thresholds[0] == 1
    assert thresholds[-1] > 1


def test_the_two_gates_differ_where_returns_are_large_and_spread_little():
    """Large returns of small spread: the paper's rule explores in the upper quarter, the released one nearly everywhere."""
    signal = torch.from_numpy(np.random.default_rng(0).normal(size=(5, 400)).astype(np.float32)) * 20 + 600
    paper, released = Switch("reward_quantile", CONFIG, SOURCES, 0.9), Switch("return_range", CONFIG, SOURCES, 0.9)
    for _ in range(200):
        _, paper_share = paper(signal, signal)
        _, released_share = released(signal, signal)
    assert paper_share.item() == pytest.approx(0.25, abs=0.01)
    assert released_share.item() == 1


@pytest.mark.parametrize("gate", ["reward_quantile", "return_range"])
def test_below_goes_above_explores(gate):
    switch = Switch(gate, CONFIG, SOURCES, DECAY)
    signal = torch.tensor([[-100.0, -100.0, -100.0, -100.0, 100.0, 100.0]])
    weights, share = switch(signal, signal)
    np.testing.assert_allclose(weights[:, 0, 0].numpy(), GO, rtol=1e-6)
    np.testing.assert_allclose(weights[:, 0, -1].numpy(), EXPLORE, rtol=1e-6)
    assert share.item() == pytest.approx(1 / 3)


def test_without_a_gate_the_explore_weights_hold_everywhere():
    weights, share = Switch("none", CONFIG, SOURCES, DECAY)(None, None)
    np.testing.assert_allclose(weights.expand(3, 2, 2).numpy(), expected_weights(np.ones((2, 2), bool)), rtol=1e-6)
    assert share.item() == 1


def test_equal_rewards_explore():
    """r_sem >= Q_k: the state on the quantile itself explores (Eq. 8)."""
    weights, share = Switch("reward_quantile", CONFIG, SOURCES, 0.0)(torch.full((2, 8), 2.5), None)
    assert share.item() == 1
    np.testing.assert_allclose(weights[:, 0, 0].numpy(), EXPLORE, rtol=1e-6)


def test_order_of_sources_is_the_order_of_weights():
    weights, _ = Switch("none", CONFIG, ["disagreement", "semantic"], DECAY)(None, None)
    np.testing.assert_allclose(weights.flatten().numpy(), np.array([1.0, 0.3]) / 1.3, rtol=1e-6)


def test_running_values_survive_a_checkpoint():
    first, second = Switch("reward_quantile", CONFIG, SOURCES, DECAY), Switch("reward_quantile", CONFIG, SOURCES, DECAY)
    *before, last = [torch.from_numpy(reward) for reward in planted(2)]
    for reward in before:
        first(reward, None)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first(last, None)[0], second(last, None)[0])
