"""The whole agent: which rewards an imagined step earns, precision, and what it shares with the fields of a step."""

import copy

import numpy as np
import pytest
import torch
from fakes.agents import ACTIONS, HORIZON, ROWS, dreamer
from fakes.both_ways import arrays
from fakes.tiny import random_batch, shake

from sensei.envs.step import Has, fields
from sensei.world_model.model import Batch
from sensei.world_model.rssm import State


def test_a_batch_of_the_replay_is_a_batch_of_the_world_model():
    assert set(Batch._fields) == set(fields(Has.REPLAY))


@pytest.mark.parametrize("discrete", [True, False])
def test_rewards_are_of_the_next_state_and_disagreement_of_the_step(discrete):
    agent = dreamer(discrete)
    model = shake(agent.world_model)
    size = model.size
    start = State(torch.randn(ROWS, size.deter), torch.randint(size.classes, (ROWS, size.stoch)))
    dream = agent.exploration.imagine(model.rssm, start, torch.Generator().manual_seed(0))
    continuation = torch.tensor([1.0, 0, 1, 1, 0])
    given = agent.rewards(agent.exploration, dream, continuation)
    assert torch.equal(given.continuation[0], continuation)
    for t in range(HORIZON):
        here, there = (dream.deter[t], dream.stoch[t]), (dream.deter[t + 1], dream.stoch[t + 1])
        expected = [
            agent.sources["disagreement"].ensemble.disagreement(*here, dream.action[t], agent.method.disagreement),
            model.predict_reward("semantic", *there),
            model.predict_reward("extrinsic", *there),
        ]
        np.testing.assert_allclose(given.sources[:, t].detach(), torch.stack(expected).detach(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(given.semantic[t].detach(), model.predict_reward("semantic", *here).detach(), rtol=1e-3, atol=1e-5)
        np.testing.assert_allclose(given.continuation[t + 1].detach(), model.predict_continue(*there).detach(), rtol=1e-4)


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("phase", ["explore", "learn"])
def test_bfloat16_gives_nearly_the_same_update(discrete, phase, monkeypatch):
    """The precision of the paper study, on the CPU, since tests must pass without a GPU; some samples fall otherwise."""
    rng = np.random.default_rng(0)
    arrays = random_batch(4, 8, 16, 1, ACTIONS)._asdict()
    arrays["action"] = rng.integers(ACTIONS, size=(4, 8)) if discrete else rng.uniform(-1, 1, (4, 8, ACTIONS)).astype(np.float32)
    arrays = {name: np.asarray(value) for name, value in arrays.items()}
    exact, rounded = dreamer(discrete, phase), dreamer(discrete, phase)
    monkeypatch.setattr(rounded, "autocast", lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    for _ in range(2):  # the second update starts from what the first one made of weights and running percentiles
        expected, given = exact.update(arrays), rounded.update(arrays)
    assert all(torch.isfinite(value) for value in given.values())
    for name in ("loss/image", "loss/continue", "loss/dynamics", "loss/semantic", "task/critic_loss"):
        assert given[name].item() == pytest.approx(expected[name].item(), rel=0.2), name
    assert all(parameter.dtype == torch.float32 for parameter in rounded.parameters())


def test_the_task_behaviour_learns_in_every_so_many_th_update_also_after_a_resume():
    agent, resumed, batch = dreamer(True, task_every=3), dreamer(True, task_every=3), arrays(True)
    for update in range(7):
        before = {name: value.clone() for name, value in agent.state_dict().items()}
        given = agent.update(batch)
        moved = {name.split(".")[0] for name, value in agent.state_dict().items() if not torch.equal(value, before[name])}
        assert ("task" in moved, "task/actor_loss" in given) == (update % 3 == 0, update % 3 == 0)
        assert {"world_model", "exploration", "sources"} <= moved
        if update > 1:
            assert given == resumed.update(batch)
        if update == 1:
            resumed.restore(copy.deepcopy(agent.checkpoint()))


def moved(agent, part: str, before: dict) -> bool:
    now = agent.state_dict()
    return any(not torch.equal(now[name], before[name]) for name in before if name.startswith(part))


def test_actors_stand_still_until_the_delay_is_over_also_after_a_resume():
    agent, batch = dreamer(True, actor_delay=2), arrays(True)
    before = copy.deepcopy(agent.state_dict())
    assert agent.update(batch)["explore/actor_gradient"] == 0
    resumed = dreamer(True, actor_delay=2)
    resumed.restore(copy.deepcopy(agent.checkpoint()))
    for each in (agent, resumed):
        each.update(batch)
        assert not moved(each, "exploration.actor", before)
        assert not moved(each, "task.actor", before)
        assert moved(each, "exploration.critic", before)
        assert each.update(batch)["explore/actor_gradient"] > 0
        assert moved(each, "exploration.actor", before)
        assert moved(each, "task.actor", before)
    assert all(torch.equal(value, resumed.state_dict()[name]) for name, value in agent.state_dict().items())


@pytest.mark.parametrize(("kept", "waits"), [("keep", False), ("fresh", True)])
def test_a_behaviour_that_is_taken_over_does_not_wait(kept, waits):
    explored, agent = dreamer(True, actor_delay=2), dreamer(True, "learn", actor_delay=2, explored_behaviour=kept)
    explored.update(arrays(True))
    agent.start_from(explored.checkpoint())
    again = dreamer(True, "learn", actor_delay=2, explored_behaviour=kept)
    again.restore(agent.checkpoint())
    for each in (agent, again):
        assert bool(each.update(arrays(True))["task/actor_gradient"] == 0) is waits


def test_actors_have_a_rate_and_a_uniform_mix_of_their_own():
    plain, other = dreamer(True), dreamer(True, actor_learning_rate=1e-5, actor_uniform_mix=0.2)
    rates = {
        name: [agent.optimisers[f"exploration.{name}"].adam.param_groups[0]["lr"] for agent in (plain, other)]
        for name in ("actor", "critic")
    }
    assert rates == {"actor": [3e-5, 1e-5], "critic": [3e-5, 3e-5]}
    assert [agent.task.actor.uniform_mix for agent in (plain, other)] == [0.01, 0.2]
    assert other.world_model.rssm.uniform_mix == 0.01


def test_the_task_behaviour_of_a_task_learns_in_every_update():
    agent, batch = dreamer(True, "learn", task_every=3), arrays(True)
    assert all("task/actor_loss" in agent.update(batch) for _ in range(3))
