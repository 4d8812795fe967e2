"""Ensemble and disagreement against numpy (paper Eqs. 5 and 6)."""

import numpy as np
import pytest
import torch
from fakes.tiny import FLAT, SIZE, shake

from sensei.core.yaml import read_yaml
from sensei.exploration.disagreement import Ensemble, spread
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.exploration import Method
from sensei.world_model.rssm import one_hot

ACTIONS, MEMBERS, ROWS = 3, 4, 11


@pytest.fixture
def ensemble() -> Ensemble:
    return shake(Ensemble(SIZE, ACTIONS, MEMBERS))


def states(rows: int = ROWS, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    deter = torch.randn(rows, SIZE.deter, generator=generator)
    index = torch.randint(SIZE.classes, (rows, SIZE.stoch), generator=generator)
    action = 2 * torch.rand(rows, ACTIONS, generator=generator) - 1
    target = one_hot(torch.randint(SIZE.classes, (rows, SIZE.stoch), generator=generator), SIZE.classes)
    return deter, index, action, target


def test_variance_and_standard_deviation_divide_by_the_number_of_members():
    predictions = np.random.default_rng(0).normal(size=(MEMBERS, ROWS, FLAT)).astype(np.float32)
    tensor = torch.from_numpy(predictions)
    np.testing.assert_allclose(spread(tensor, "variance").numpy(), predictions.var(0, ddof=0).mean(-1), rtol=1e-4)
    np.testing.assert_allclose(spread(tensor, "standard_deviation").numpy(), predictions.std(0, ddof=0).mean(-1), rtol=1e-4)


@pytest.mark.parametrize("kind", ["variance", "standard_deviation"])
def test_members_that_agree_give_no_reward_and_no_infinite_gradient(kind):
    predictions = torch.ones(MEMBERS, 2, 5, requires_grad=True)
    reward = spread(predictions, kind)
    reward.sum().backward()
    assert reward.detach().numpy() == pytest.approx(0, abs=1e-5)
    assert torch.isfinite(predictions.grad).all()


def test_disagreement_is_the_spread_of_the_members_predictions(ensemble):
    deter, index, action, _ = states()
    predictions = ensemble.heads(deter, index, action).detach().numpy()
    assert predictions.shape == (MEMBERS, ROWS, FLAT)
    np.testing.assert_allclose(ensemble.disagreement(deter, index, action, "variance").detach(), predictions.var(0).mean(-1), rtol=1e-4)
    by_vector = ensemble.disagreement(deter, one_hot(index, SIZE.classes), action, "variance")
    np.testing.assert_allclose(by_vector.detach(), predictions.var(0).mean(-1), rtol=1e-4)


def test_many_rows_give_the_same_as_few(ensemble):
    deter, index, action, _ = states(rows=2500)
    together = ensemble.disagreement(deter, index, action, "variance")
    few = [0, 1023, 1024, 2499]
    apart = ensemble.disagreement(deter[few], index[few], action[few], "variance")
    assert together.shape == (2500,)
    np.testing.assert_allclose(together[few].detach(), apart.detach(), rtol=1e-4)


def test_loss_is_the_summed_squared_error_of_each_member(ensemble):
    deter, index, action, target = states()
    predictions = ensemble.heads(deter, index, action).detach().numpy().astype(np.float64)
    expected = sum(((prediction - target.numpy()) ** 2).sum(-1).mean() for prediction in predictions)
    assert ensemble.loss(deter, index, action, target, torch.ones(ROWS)).item() == pytest.approx(expected, rel=1e-5)


def test_rows_without_weight_count_as_if_they_were_not_there(ensemble):
    deter, index, action, target = states()
    weight = (torch.arange(ROWS) % 3 > 0).float()
    kept = weight.bool()
    expected = ensemble.loss(deter[kept], index[kept], action[kept], target[kept], torch.ones(int(weight.sum())))
    assert ensemble.loss(deter, index, action, target, weight).item() == pytest.approx(expected.item(), rel=1e-5)
    assert ensemble.loss(deter, index, action, target, 0 * weight).item() == 0


def test_the_loss_teaches_the_ensemble_alone(ensemble):
    deter, index, action, target = states()
    deter.requires_grad_()
    target.requires_grad_()
    ensemble.loss(deter, index, action, target, torch.ones(ROWS)).backward()
    assert deter.grad is None
    assert target.grad is None
    assert all(parameter.grad is not None for parameter in ensemble.parameters())


def test_members_are_different_from_the_start():
    deter, index, action, _ = states()
    assert (Ensemble(SIZE, ACTIONS, MEMBERS).disagreement(deter, index, action, "variance") > 1e-4).all()


def test_disagreement_passes_gradients_to_continuous_actions(ensemble):
    deter, index, action, _ = states()
    action.requires_grad_()
    ensemble.disagreement(deter, one_hot(index, SIZE.classes), action, "variance").sum().backward()
    assert action.grad.abs().sum() > 0


def test_actions_beyond_the_unit_box_count_as_its_border(ensemble):
    """The replay holds actions as the environment took them; an imagined one beyond the box must not look novel for that alone."""
    deter, index, _, target = states()
    weight = torch.ones(ROWS)
    beyond, border = torch.tensor([[3.0, -7.0, 0.5]]).expand(ROWS, -1), torch.tensor([[1.0, -1.0, 0.5]]).expand(ROWS, -1)
    given, expected = (ensemble.disagreement(deter, index, action, "variance") for action in (beyond, border))
    np.testing.assert_allclose(given.detach(), expected.detach(), rtol=1e-5)
    assert ensemble.loss(deter, index, beyond, target, weight).item() == pytest.approx(
        ensemble.loss(deter, index, border, target, weight).item()
    )


def test_the_methods_have_the_standard_deviation_and_beside_them_the_variance():
    for name in ("sensei", "plan2explore"):
        ours, letter = (read_yaml(CONFIG_FOLDER / "methods" / f"{kind}.yaml") for kind in (name, f"{name}_variance"))
        assert Method.model_validate(ours).disagreement == "standard_deviation"
        assert letter == ours | {"disagreement": "variance", "title": f"{ours['title']} (variance)"}
