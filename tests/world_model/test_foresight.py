"""What is said of a model's foresight, on a model of which everything is known."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from sensei.study.models.world_model import WorldModelConfig
from sensei.world_model.foresight import ahead, features_of, foresight, other_actions, probe, rollouts, told_apart
from sensei.world_model.model import Batch, WorldModel
from sensei.world_model.rssm import State

ROWS, TIME, ACTIONS, HORIZON = 6, 24, 3, 4


@pytest.fixture(scope="module")
def model() -> WorldModel:
    torch.manual_seed(0)
    return WorldModel(WorldModelConfig(size="XS", image_size=16), flags=2, actions=ACTIONS, reward_gradient=True)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """Noise; flag 1 is never on, an episode begins in the middle of the first row."""
    rng = np.random.default_rng(0)
    flags = np.stack([rng.random((ROWS, TIME)) < 0.5, np.zeros((ROWS, TIME))], -1)
    first = np.zeros((ROWS, TIME), bool)
    first[0, 9] = True
    arrays = {
        "image": rng.integers(0, 256, (ROWS, TIME, 16, 16, 3), dtype=np.uint8),
        "flags": flags.astype(np.float32),
        "action": np.eye(ACTIONS, dtype=np.float32)[rng.integers(ACTIONS, size=(ROWS, TIME))],
        "reward": (rng.random((ROWS, TIME)) < 0.1).astype(np.float32),
        "semantic": np.zeros((ROWS, TIME), np.float32),
        "task_rewards": np.zeros((ROWS, TIME, 0), np.float32),
        "is_first": first,
        "is_terminal": np.zeros((ROWS, TIME), bool),
    }
    return Batch(**{name: torch.from_numpy(array) for name, array in arrays.items()})


def observed_by(model: WorldModel, batch: Batch):
    with torch.no_grad():
        return model.observe(batch, torch.rand((ROWS, TIME, model.size.stoch), generator=torch.Generator().manual_seed(0)))


def test_how_well_is_told_apart_is_what_others_compute():
    rng = np.random.default_rng(0)
    happened = rng.random(500) < 0.1
    probability = np.round(rng.random(500) * 0.5 + 0.3 * happened, 2)  # with ties
    found = told_apart(probability, happened)
    assert found["number"] == happened.sum()
    assert found["area"] == pytest.approx(roc_auc_score(happened, probability))
    assert found["there"] == pytest.approx(probability[happened].mean()) and found["elsewhere"] == pytest.approx(
        probability[~happened].mean()
    )
    assert "area" not in told_apart(probability, np.zeros(500, bool))


def test_a_flag_counts_where_it_turns_on_within_an_episode(model, batch):
    judged = foresight(model, batch, True, HORIZON, torch.Generator().manual_seed(0))["signs"]
    flags, first = batch.flags.numpy()[..., 0] > 0.5, batch.is_first.numpy()
    expected = (flags[:, 1:] & ~flags[:, :-1] & ~first[:, 1:]).sum()
    assert judged["flag 0 turns on"]["number"] == expected
    assert judged["flag 1 turns on"]["number"] == 0 and judged["flag 1 turns on"]["real"] == 0
    assert judged["reward"]["number"] == (batch.reward.numpy()[:, 1:][~first[:, 1:]] > 0).sum()


def test_a_model_that_always_says_the_same_is_seen_through(model, batch, monkeypatch):
    """Its flag is said to turn on with 0.3 everywhere, whatever is done."""
    monkeypatch.setattr(WorldModel, "predict_flags", lambda self, deter, stoch: torch.full((len(deter), 2), 0.3))
    flag = foresight(model, batch, True, HORIZON, torch.Generator().manual_seed(0))["signs"]["flag 0 turns on"]
    for key in ("there", "elsewhere", "other_action", "seen", "median", "imagined"):
        assert flag[key] == pytest.approx(0.3), key
    assert flag["area"] == pytest.approx(0.5)


def test_an_event_is_counted_within_episodes_and_read_by_its_probe(model, batch):
    happened = np.zeros((ROWS, TIME), bool)
    happened[:, ::5] = True
    judged = foresight(
        model, batch, True, HORIZON, torch.Generator().manual_seed(0), {"never": (happened, lambda rows: torch.zeros(len(rows)))}
    )["signs"]["never"]
    later = ~batch.is_first.numpy()[:, 1:]
    assert judged["by"] == "probe" and judged["number"] == (happened[:, 1:] & later).sum()
    assert judged["there"] == judged["imagined"] == 0 < judged["real"]


def test_one_step_ahead_is_the_prior_after_the_action(model, batch):
    observed = observed_by(model, batch)
    state = State(observed.deter[:, 3], observed.index[:, 3])
    says = {"deter": lambda rows: rows[:, : model.size.deter].sum(-1)}
    (found,) = ahead(model, state, batch.action[:, 3], says, torch.Generator().manual_seed(1)).values()
    torch.testing.assert_close(torch.from_numpy(found), observed.deter[:, 4].sum(-1), rtol=1e-4, atol=1e-4)


def test_other_actions_are_all_others():
    action = torch.eye(ACTIONS)
    others = torch.stack(other_actions(action, discrete=True))
    assert others.shape == (ACTIONS - 1, ACTIONS, ACTIONS)
    torch.testing.assert_close(others.sum(0), 1 - action)


def test_rollouts_follow_the_actions_and_stop_counting_where_the_episode_ends(model, batch):
    observed = observed_by(model, batch)
    dreamt = rollouts(model, batch, observed, HORIZON, torch.Generator().manual_seed(0))
    row = np.flatnonzero((dreamt.rows == 0) & (dreamt.times == 6))[0]
    assert dreamt.within[:, row].tolist() == [True, True, False, False]
    assert dreamt.within.sum() == dreamt.within.size - 2
    expected = model.rssm.imagine_step(
        observed.deter[0, 6:7], observed.index[0, 6:7], batch.action[0, 6:7], torch.zeros(1, model.size.stoch)
    )[0]
    torch.testing.assert_close(dreamt.features[0, row : row + 1, : model.size.deter], expected, rtol=1e-4, atol=1e-4)
    real = dreamt.real(batch.reward.numpy())
    assert real[2, row] == batch.reward[0, 9]


def test_a_probe_reads_what_is_there():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(2000, 20)).astype(np.float32))
    chance = 1 / (1 + np.exp(-(3 * features[:, 0].numpy() - 4)))
    reader = probe(features, rng.random(2000) < chance)
    assert np.abs(reader(features).numpy() - chance).mean() < 0.02


def test_states_as_heads_read_them(model, batch):
    observed = observed_by(model, batch)
    torch.testing.assert_close(features_of(model, observed.deter, observed.index), torch.cat([observed.deter, observed.stoch.detach()], -1))
