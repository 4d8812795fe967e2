"""The contract's own checks: actions, seeds, time-out, events, tasks."""

import numpy as np
import pytest
from fakes.counting import CONFIG
from gymnasium.spaces import Box, Discrete
from hypothesis import given
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.envs.contract import check_actions
from sensei.envs.toy import Counting, KeyDoor

BOX = Box(-1, 1, (2,), np.float32)


@given(st.lists(st.integers(-5, 8), min_size=1, max_size=6))
def test_discrete_actions_pass_exactly_when_in_range(actions):
    if all(0 <= action < 4 for action in actions):
        checked = check_actions(Discrete(4), actions, (len(actions),))
        assert checked.dtype == np.int64
        assert checked.tolist() == actions
    else:
        with pytest.raises(SenseiError, match="expected integers from 0 to 3"):
            check_actions(Discrete(4), actions, (len(actions),))


@pytest.mark.parametrize("action", [4, -1, 1.0, np.nan, "north", None, True, [1], np.zeros(2, int)])
def test_a_wrong_discrete_action_names_the_valid_range(action):
    with pytest.raises(SenseiError, match=r"expected integers from 0 to 3, shape \(\)"):
        check_actions(Discrete(4), action)


@pytest.mark.parametrize("action", [[0.0, 1.1], [0.0, np.nan], [-np.inf, 0.0], [0.0], 0.0, [[0.0, 0.0]], ["a", "b"]])
def test_a_wrong_box_action_names_the_valid_range(action):
    with pytest.raises(SenseiError, match=r"expected finite numbers from -1 to 1, shape \(2,\)"):
        check_actions(BOX, action)


def test_a_box_action_becomes_float32():
    checked = check_actions(BOX, [1, -1])
    assert (checked.dtype, checked.tolist()) == (np.float32, [1.0, -1.0])


def test_a_batch_must_have_one_action_per_worker():
    assert check_actions(BOX, np.zeros((3, 2)), (3,)).shape == (3, 2)
    with pytest.raises(SenseiError, match=r"shape \(3, 2\)"):
        check_actions(BOX, np.zeros((2, 2)), (3,))


def test_stepping_outside_an_episode_is_an_error():
    env = Counting(CONFIG, 16)
    with pytest.raises(SenseiError, match="outside an episode"):
        env.step(0)
    env.reset(seed=0)
    while not any(env.step(0)[2:4]):
        pass
    with pytest.raises(SenseiError, match="call reset"):
        env.step(0)


@pytest.mark.parametrize("seed", [-1, 1.5, "0", True])
def test_a_wrong_seed_is_an_error(seed):
    with pytest.raises(SenseiError, match="expected an integer from 0 on"):
        Counting(CONFIG, 16).reset(seed=seed)


def test_events_come_in_the_order_of_the_configuration():
    env = Counting(CONFIG.model_copy(update={"events": ["environment_reward", "odd_step"]}), 16)
    _, info = env.reset(seed=0)
    assert info["events"] == {"environment_reward": 0.0, "odd_step": 0.0}
    *_, info = env.step(0)
    assert list(info["events"].items()) == [("environment_reward", 0.01), ("odd_step", 1.0)]
    env = Counting(CONFIG.model_copy(update={"events": ["odd_step"]}), 16)
    assert env.event_names == ("odd_step",)


def test_a_family_of_several_tasks_pays_for_the_one_pursued_and_reports_all():
    config = CONFIG.model_copy(update={"events": ["key_picked_up", "environment_reward"]})
    env = KeyDoor(config, 16)
    assert (env.task, env.task_names) == ("keydoor", ("keydoor", "fetch_key"))
    env.pursue("fetch_key")
    rng = np.random.default_rng(0)
    _, info = env.reset(seed=3)
    assert info["task_rewards"] == {"keydoor": 0.0, "fetch_key": 0.0}
    ended, paid = False, 0.0
    while not ended:
        _, reward, terminated, truncated, info = env.step(int(rng.integers(4)))
        assert reward == info["task_rewards"]["fetch_key"] == info["events"]["key_picked_up"]
        paid, ended = paid + reward, terminated or truncated
    with pytest.raises(SenseiError, match="unknown task in `tasks`: found fly, expected one of keydoor, fetch_key"):
        env.pursue("fly")
    with pytest.raises(SenseiError, match="unknown task in `tasks`: found fly, expected one of keydoor, fetch_key"):
        KeyDoor(config.model_copy(update={"tasks": ["keydoor", "fly"]}), 16)


class Breaks(Counting):
    """The simulator breaks at the fifth step."""

    def _advance(self, action):
        return super()._advance(action)._replace(unstable=self._count == 5)


def test_an_unstable_simulator_ends_the_episode_as_truncated_and_says_so():
    env = Breaks(CONFIG, 16)
    env.reset(seed=2)
    steps = [env.step(0) for _ in range(5)]
    assert [step[4]["unstable"] for step in steps] == [False] * 4 + [True]
    assert [step[2:4] for step in steps] == [(False, False)] * 4 + [(False, True)]
