"""What only a graphics card does: graphs, streams, page-locked batches, bfloat16. Skipped where there is none."""

import numpy as np
import pytest
import torch
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_same_agent, assert_same_first_updates
from fakes.tiny import shake
from fakes.toys import tensors, toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.agents.update import WARMUP
from sensei.kernels.choice import in_triton
from sensei.replay.buffer import Replay
from sensei.replay.feed import Feed
from sensei.reward.model import RewardModel
from sensei.reward.scorer import RewardScorer
from sensei.study.models.reward import RewardModelConfig
from sensei.training import checkpoint
from sensei.training.loop import opened
from sensei.training.run import exploration_run

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no graphics card")
UPDATES = WARMUP + 7


def agent(discrete: bool = True, phase: str = "explore", **changes) -> DreamerAgent:
    return shake(dreamer(discrete, phase, device="cuda", **changes), seed=3)


def updates_of(one: DreamerAgent, number: int, batch: dict[str, np.ndarray]) -> list[dict[str, float]]:
    return [{name: value.cpu() for name, value in one.update(batch).items()} for _ in range(number)]


def assert_same(ours: DreamerAgent, theirs: DreamerAgent, learned: list, expected: list) -> None:
    assert_same_agent(ours.cpu(), theirs.cpu(), list(zip(learned, expected, strict=True)))


@pytest.mark.parametrize("discrete", [True, False])
@pytest.mark.parametrize("phase", ["explore", "learn"])
def test_replayed_updates_are_those_carried_out_op_by_op(discrete, phase):
    replayed, plain, batch = agent(discrete, phase=phase), agent(discrete, phase=phase), arrays(discrete)
    plain.one_update.captures = False
    learned, expected = updates_of(replayed, UPDATES, batch), updates_of(plain, UPDATES, batch)
    assert replayed.one_update.graphs
    assert in_triton() is not None
    assert_same(replayed, plain, learned, expected)


def test_updates_with_and_without_the_task_behaviour_have_graphs_of_their_own():
    replayed, plain, batch = agent(task_every=2), agent(task_every=2), arrays(True)
    plain.one_update.captures = False
    assert_same(replayed, plain, updates_of(replayed, 2 * UPDATES, batch), updates_of(plain, 2 * UPDATES, batch))
    assert len(replayed.one_update.graphs) == 2


def test_updates_before_and_after_the_actors_move_have_graphs_of_their_own():
    replayed, plain, batch = agent(actor_delay=UPDATES), agent(actor_delay=UPDATES), arrays(True)
    plain.one_update.captures = False
    assert_same(replayed, plain, updates_of(replayed, 2 * UPDATES, batch), updates_of(plain, 2 * UPDATES, batch))
    assert len(replayed.one_update.graphs) == 2


def test_replayed_updates_choose_the_states_that_they_imagine_from():
    replayed, plain, batch = agent(starts=5), agent(starts=5), arrays(True)
    plain.one_update.captures = False
    assert_same(replayed, plain, updates_of(replayed, UPDATES, batch), updates_of(plain, UPDATES, batch))


@pytest.mark.parametrize("discrete", [True, False])
def test_first_updates_by_kernels_are_those_of_pytorch_alone(monkeypatch, discrete):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    ours, plain, batch = agent(discrete), agent(discrete, compile="off"), arrays(discrete)
    learned, expected = updates_of(ours, 2, batch), updates_of(plain, 2, batch)
    assert_same_first_updates(ours, plain, list(zip(learned, expected, strict=True)), states=96)


@pytest.mark.parametrize("compile", ["off", "auto"])
@pytest.mark.parametrize("discrete", [True, False])
def test_bfloat16_is_near_float32(discrete, compile):
    low, full, batch = agent(discrete, compile=compile, precision="bfloat16"), agent(discrete, compile=compile), arrays(discrete)
    learned, expected = updates_of(low, UPDATES, batch), updates_of(full, UPDATES, batch)
    for name in ("loss/image", "loss/reward", "loss/continue", "loss/ensemble", "task/critic_loss"):
        assert learned[0][name].item() == pytest.approx(expected[0][name].item(), rel=0.15), name
        assert learned[-1][name].item() == pytest.approx(expected[-1][name].item(), rel=0.3), name
    assert all(torch.isfinite(value) for value in learned[-1].values())


def test_a_restored_agent_goes_on_as_one_that_was_not_interrupted(tmp_path):
    going, batch = agent(), arrays(True)
    updates_of(going, UPDATES, batch)
    checkpoint.save(tmp_path / "state.pt", going.checkpoint())
    restored = agent()
    updates_of(restored, UPDATES, batch)  # has a graph already, which is of no use any more
    restored.restore(checkpoint.load(tmp_path / "state.pt"))
    learned, expected = updates_of(restored, UPDATES, batch), updates_of(going, UPDATES, batch)
    assert_same(restored, going, learned, expected)


def test_an_update_that_cannot_be_captured_is_carried_out_op_by_op(caplog):
    waiting, plain, batch = agent(), agent(), arrays(True)
    plain.one_update.captures = False

    def learn_and_wait(*given):
        metrics = waiting.learn(*given)
        metrics["loss/image"].item()
        return metrics

    waiting.one_update.function = learn_and_wait
    learned, expected = updates_of(waiting, UPDATES, batch), updates_of(plain, UPDATES, batch)
    assert "cannot be captured" in caplog.text
    assert_same(waiting, plain, learned, expected)


def test_a_batch_of_another_shape_is_refused():
    one, batch = agent(), arrays(True)
    updates_of(one, UPDATES, batch)
    with pytest.raises(AssertionError, match="shape"):
        one.update({name: array[:2] for name, array in batch.items()})


def test_page_locked_batches_are_those_of_the_replay_while_updates_are_under_way(tmp_path):
    batch = arrays(True)
    spec = {name: (array.shape[2:], array.dtype) for name, array in batch.items()}
    replay = Replay(tmp_path, spec, 24, workers=4, slack=2)
    for t in range(6):
        replay.add({name: array[:, t] for name, array in batch.items()})
    feed = Feed(replay, np.random.default_rng(0), 4, 6, "cuda")
    one, other, rng = agent(), agent(), np.random.default_rng(0)
    for _ in range(UPDATES):
        one.update(feed.sample())  # nothing waits in between
    for _ in range(UPDATES):
        given = replay.sample(4, 6, rng)
        other.update(given)
        torch.cuda.synchronize()
    assert_same(one, other, [], [])


def test_semantic_rewards_are_those_of_the_cpu_while_updates_are_under_way():
    model = RewardModel((64, 64, 3), 1, RewardModelConfig(), torch.Generator().manual_seed(0))
    rng = np.random.default_rng(0)
    images, flags = rng.integers(0, 256, (8, 64, 64, 3), np.uint8), rng.random((8, 1), np.float32)
    expected = RewardScorer(model)(images, flags)
    scorer, one, batch = RewardScorer(model.cuda()), agent(), arrays(True)
    for _ in range(UPDATES):
        one.update(batch)
        np.testing.assert_allclose(scorer(images, flags), expected, atol=2e-2)


def test_a_run_resumes_where_it_was(tmp_path):
    study = toy_study(training={"device": "cuda", "precision": "bfloat16"})
    run = exploration_run(study, "toy_counting", "plan2explore", 0, tmp_path / "run")
    with opened(run) as loop:
        loop.begin()
        while loop.updates < UPDATES:
            loop.turn()
        loop.save()
        saved = {name: tensor.cpu() for name, tensor in tensors(loop.agent.checkpoint()).items()}
        step, updates = loop.step, loop.updates
    with opened(run) as loop:
        loop.begin()
        assert (loop.step, loop.updates) == (step, updates)
        for name, tensor in tensors(loop.agent.checkpoint()).items():
            assert torch.equal(tensor.cpu(), saved[name]), name
        while loop.updates < updates + UPDATES:
            loop.turn()
        assert loop.agent.one_update.graphs
        assert all(torch.isfinite(tensor).all() for tensor in tensors(loop.agent.checkpoint()).values() if tensor.is_floating_point())
