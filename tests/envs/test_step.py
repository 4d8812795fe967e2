"""The table of a step's fields is what environments yield."""

import numpy as np
import pytest
from gymnasium.spaces import Box, Discrete

from sensei.envs.step import FIELDS, Has, fields, row, spec
from sensei.envs.toy import Counting
from sensei.study.models.environment import EnvironmentConfig

CONFIG = EnvironmentConfig(
    family="sensei.envs.toy:Counting", level="-", tasks=["none"], title="-", episode_steps=9, events=["odd_step", "environment_reward"]
)


def test_an_environment_yields_the_fields_of_the_table_in_their_shapes():
    env = Counting(CONFIG, 16)
    observation, info = env.reset(seed=0)
    given = row(observation, 0.0, info, first=True) | {"annotator_image": env.render_for_annotator()}
    described = spec(Has.ENVIRONMENT, env.sizes, env.action_space)
    assert given.keys() == described.keys()
    for name, (shape, dtype) in described.items():
        assert np.asarray(given[name], dtype).shape == shape, name
    assert described["image"] == ((16, 16, 3), np.uint8) and described["annotator_image"] == ((32, 32, 3), np.uint8)


@pytest.mark.parametrize(
    ("ends", "last", "terminal"), [({}, False, False), ({"truncated": True}, True, False), ({"terminated": True}, True, True)]
)
def test_a_step_is_last_if_it_ends_and_terminal_if_nothing_can_follow(ends, last, terminal):
    env = Counting(CONFIG, 16)
    observation, info = env.reset(seed=0)
    given = row(observation, 0.5, info, **ends)
    assert (given["is_first"], given["is_last"], given["is_terminal"], given["reward"]) == (False, last, terminal, 0.5)


@pytest.mark.parametrize(("space", "action"), [(Discrete(3), ((), np.int64)), (Box(-1, 1, (2,), np.float32), ((2,), np.float32))])
def test_the_action_has_the_shape_and_type_of_its_space(space, action):
    sizes = {size: 1 for field in FIELDS.values() for size in field.shape or () if isinstance(size, str)}
    assert spec(Has.REPLAY, sizes, space)["action"] == spec(Has.EPISODE, sizes, space)["action"] == action


def test_a_policy_sees_nothing_that_it_could_not_know():
    assert set(fields(Has.POLICY)) == {"image", "flags", "is_first"}
