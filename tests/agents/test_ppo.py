"""PPO behind the contract: what enters the rollout, what is learned from it, and that it can be stopped anywhere."""

import copy

import numpy as np
import pytest
import torch
from fakes.toys import tensors, toy_study

from sensei.agents.impala import ImpalaExtractor
from sensei.agents.ppo import CONSTANTS, PPOAgent, observation_of
from sensei.replay.step import Spaces

WORKERS, SIDE, STEPS = 2, 40, CONSTANTS["n_steps"]
GAMMA, LAMBDA = CONSTANTS["gamma"], CONSTANTS["gae_lambda"]
TIMEOUTS, DEATHS = {(10, 0), (40, 1)}, {(20, 1), (STEPS - 1, 0)}  # (step, worker): how episodes end


def ppo(discrete: bool = True, flags: int = 1, seed: int = 0, side: int = SIDE) -> PPOAgent:
    study = toy_study(world_model={"image_size": side}, training={"workers": WORKERS})
    spaces, weights = Spaces(flags, 3, discrete), study.weights("toy_counting", "ppo")
    return PPOAgent(spaces, study.settings["toy_counting"], study.methods["ppo"], weights, "learn", seed)


class Noise:
    """Environments of noise whose episodes end as TIMEOUTS and DEATHS say; told as the loop tells an agent on policy."""

    def __init__(self, flags: int = 1, side: int = SIDE):
        self.rng, self.flags, self.side, self.step, self.told = np.random.default_rng(0), flags, side, 0, []
        self.rows = self._rows(np.ones(WORKERS, bool))

    def _rows(self, first: np.ndarray, last: np.ndarray | None = None, terminal: np.ndarray | None = None) -> dict[str, np.ndarray]:
        return {
            "image": self.rng.integers(0, 256, (WORKERS, self.side, self.side, 3), dtype=np.uint8),
            "flags": self.rng.integers(0, 2, (WORKERS, self.flags)).astype(np.float32),
            "reward": self.rng.normal(size=WORKERS).astype(np.float32),
            "is_first": first,
            "is_last": np.zeros(WORKERS, bool) if last is None else last,
            "is_terminal": np.zeros(WORKERS, bool) if terminal is None else terminal,
        }

    def play(self, agent: PPOAgent, steps: int = STEPS) -> list[np.ndarray]:
        """The actions of some steps."""
        actions = []
        for _ in range(steps):
            action, state = agent.policy(self.rows, None)
            terminal = np.array([(self.step, worker) in DEATHS for worker in range(WORKERS)])
            last = terminal | np.array([(self.step, worker) in TIMEOUTS for worker in range(WORKERS)])
            ended = self._rows(np.zeros(WORKERS, bool), last, terminal)
            begun = self._rows(last)
            following = {name: np.where(last.reshape(-1, *[1] * (part.ndim - 1)), begun[name], part) for name, part in ended.items()}
            agent.follow(self.rows, state, ended, following)
            self.told.append((self.rows, state, ended, following))
            self.rows, self.step = following, self.step + 1
            actions.append(action)
        return actions


def values(agent: PPOAgent, rows: dict[str, np.ndarray]) -> np.ndarray:
    with torch.no_grad():
        return agent.network.predict_values(agent.network.obs_to_tensor(observation_of(rows))[0]).numpy()[:, 0]


def test_advantages_stop_at_the_end_of_an_episode_and_a_time_out_is_bootstrapped():
    agent, noise = ppo(), Noise()
    noise.play(agent)
    assert agent.ready
    expected, advantage = np.zeros((STEPS, WORKERS)), np.zeros(WORKERS)
    for step in reversed(range(STEPS)):
        rows, _, ended, _ = noise.told[step]
        goes_on = ~ended["is_last"]
        value = values(agent, ended) * ~ended["is_terminal"]  # after a time-out that of the last observation
        error = ended["reward"] + GAMMA * value - values(agent, rows)
        advantage = error + GAMMA * LAMBDA * goes_on * advantage
        expected[step] = advantage
    np.testing.assert_allclose(agent.rollout.advantages, expected, atol=1e-4)
    np.testing.assert_allclose(agent.rollout.returns, expected + agent.rollout.values, atol=1e-4)


def test_an_update_learns_from_a_full_rollout_and_begins_the_next_one():
    agent, noise = ppo(), Noise()
    noise.play(agent, STEPS - 1)
    assert not agent.ready
    noise.play(agent, 1)
    before = [parameter.clone() for parameter in agent.network.parameters()]
    metrics = agent.update()
    assert {name: np.isfinite(float(value)) for name, value in metrics.items()} == {
        f"loss/{name}": True for name in ("policy_gradient_loss", "value_loss", "entropy_loss", "approx_kl", "clip_fraction")
    }
    assert all(not torch.equal(old, new) for old, new in zip(before, agent.network.parameters(), strict=True))
    assert not agent.ready and agent.rollout.pos == 0
    assert agent.ppo._n_updates == agent.counts_for


@pytest.mark.parametrize("steps", [0, 23, STEPS], ids=["between rollouts", "in a rollout", "before the update"])
def test_an_agent_that_was_stopped_goes_on_as_if_it_had_not_been(steps):
    agent, noise = ppo(), Noise()
    noise.play(agent, steps)
    saved = copy.deepcopy(agent.checkpoint())  # as a file holds it
    place, rows = noise.rng.bit_generator.state, noise.rows

    def go_on(agent: PPOAgent) -> tuple[list[np.ndarray], dict]:
        noise.rng.bit_generator.state, noise.rows, noise.step = place, rows, steps
        actions = noise.play(agent, STEPS - steps)
        metrics = agent.update()
        return [*actions, *noise.play(agent, 3)], {**metrics, **agent.checkpoint()}

    actions, state = go_on(agent)
    other = ppo(seed=1)
    other.restore(saved)
    again, resumed = go_on(other)
    np.testing.assert_array_equal(actions, again)
    assert all(torch.equal(tensor, tensors(resumed)[name]) for name, tensor in tensors(state).items())


def test_environments_get_bounded_actions_and_the_rollout_those_that_were_drawn():
    agent, noise = ppo(discrete=False, flags=0), Noise(flags=0)
    agent.network.log_std.data.fill_(1.5)
    actions = np.stack(noise.play(agent))
    drawn = agent.rollout.actions
    assert (np.abs(drawn) > 1).mean() > 0.5
    np.testing.assert_array_equal(actions, drawn.clip(-1, 1))
    assert np.isfinite([float(value) for value in agent.update().values()]).all()


@pytest.mark.parametrize("discrete", [True, False])
def test_evaluation_draws_from_its_own_stream_alone(discrete):
    agent, rows = ppo(discrete), Noise().rows
    before = torch.get_rng_state()
    one, other = (np.stack([agent.policy(rows, None, generator)[0] for _ in range(9)]) for generator in map(seeded, (3, 3)))
    assert torch.equal(before, torch.get_rng_state()), "training does not notice"
    np.testing.assert_array_equal(one, other)
    assert (one != one[0]).any(), "by sampling"


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize(("side", "flags"), [(16, 1), (24, 0), (32, 2)])
def test_pictures_too_small_for_natures_convolutions_go_through_impalas(side, flags):
    agent, noise = ppo(flags=flags, side=side), Noise(flags, side)
    noise.play(agent)
    before = [parameter.clone() for parameter in agent.network.parameters()]
    agent.update()
    assert all(not torch.equal(old, new) for old, new in zip(before, agent.network.parameters(), strict=True))
    assert isinstance(agent.network.features_extractor, ImpalaExtractor)
    assert not isinstance(ppo().network.features_extractor, ImpalaExtractor)
