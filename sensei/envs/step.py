"""The fields of a step, spelled once: what each is, and who has it.

A step is an observation, the reward and the events that came with it, and the action that is taken *after* it.
"""

from collections.abc import Mapping
from enum import Flag, auto
from typing import Any, NamedTuple

import gymnasium
import numpy as np

Spec = dict[str, tuple[tuple[int, ...], np.dtype]]  # field -> shape and dtype in one step of one environment


class Has(Flag):
    """Who has a field: the environment yields it, a policy is shown it, the replay and files of episodes keep it."""

    ENVIRONMENT = auto()
    POLICY = auto()
    REPLAY = auto()
    EPISODE = auto()


class Field(NamedTuple):
    """dtype, and shape in one step: numbers, and the names of sizes that differ between environments; None: those of the action space."""

    dtype: str | None
    shape: tuple[int | str, ...] | None
    has: Has
    optional: bool = False


ALL = Has.ENVIRONMENT | Has.POLICY | Has.REPLAY | Has.EPISODE
FIELDS = {
    "image": Field("uint8", ("side", "side", 3), ALL),  # the agent's picture
    # What annotators and the reward model see; missing where nobody asks for it, or where it can be drawn again from the state.
    "annotator_image": Field("uint8", ("height", "width", 3), Has.ENVIRONMENT | Has.EPISODE, optional=True),
    "flags": Field("float32", ("flags",), ALL),
    "reward": Field("float32", (), ALL ^ Has.POLICY),  # of the task pursued
    "is_first": Field("bool", (), ALL),  # of its episode: the reward is 0 and nothing has happened
    "is_last": Field("bool", (), Has.ENVIRONMENT | Has.EPISODE),  # terminated or truncated
    "is_terminal": Field("bool", (), ALL ^ Has.POLICY),  # terminated
    "is_unstable": Field("bool", (), Has.ENVIRONMENT),  # the simulator broke: the episode is no experience
    "events": Field("float32", ("events",), Has.ENVIRONMENT | Has.EPISODE),  # counts, in the order of the configuration
    "state": Field("float32", ("state",), Has.ENVIRONMENT | Has.EPISODE),  # what an oracle may look at
    "task_rewards": Field("float32", ("task_rewards",), Has.ENVIRONMENT | Has.REPLAY),  # of every task of the family, at once
    "action": Field(None, None, Has.REPLAY | Has.EPISODE),
    "semantic": Field("float32", (), Has.REPLAY),  # the reward model's of the annotator's picture
}


def fields(has: Has) -> dict[str, Field]:
    """The fields that `has` has, in their order."""
    return {name: field for name, field in FIELDS.items() if has in field.has}


def spec(has: Has, sizes: Mapping[str, int], action_space: gymnasium.Space) -> Spec:
    """Shape and dtype of the fields that `has` has.

    Args:
        sizes: of everything that `Field.shape` names.
        action_space: Discrete or Box; its shape and dtype are the action's.
    """
    described = {}
    for name, field in fields(has).items():
        if field.dtype is None:
            described[name] = tuple(action_space.shape), np.dtype(action_space.dtype)
        else:
            described[name] = tuple(size if isinstance(size, int) else sizes[size] for size in field.shape), np.dtype(field.dtype)
    return described


def row(observation: Mapping[str, np.ndarray], reward: float, info: Mapping[str, Any], **ends: bool) -> dict[str, Any]:
    """Every field that an environment yields, but for `annotator_image`, from what `Environment.reset` or `step` gave.

    Args:
        ends: first, terminated, truncated; whichever is not given is false.
    """
    first, terminated, truncated = (ends.get(name, False) for name in ("first", "terminated", "truncated"))
    return {
        **observation,
        "reward": reward,
        "is_first": first,
        "is_last": terminated or truncated,
        "is_terminal": terminated,
        "is_unstable": info["unstable"],
        **{name: tuple(info[name].values()) for name in ("events", "state", "task_rewards")},
    }
