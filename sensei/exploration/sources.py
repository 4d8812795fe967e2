"""What a reward source is: a reward of imagined steps, and where it has to be learned, its losses.

`disagreement.py` is one that learns, `extrinsic.py` and `semantic.py` read a head of the world model. A method names the sources that
its exploration maximises, each by its module here or as "package.module:Class".
"""

from typing import Any, NamedTuple, Protocol

import torch
from torch import nn

from sensei.core.messages import validate
from sensei.core.plugins import find
from sensei.replay.step import Spaces
from sensei.study.models.exploration import SOURCES, Method
from sensei.study.models.section import Section
from sensei.study.models.study import Settings
from sensei.world_model.model import Batch, WorldModel
from sensei.world_model.rssm import Observed

States = tuple[torch.Tensor, torch.Tensor]  # deter and stoch, one row a state: what the heads of `BatchedMLP` read


class Rollout(NamedTuple):
    """An imagined rollout.

    Attributes:
        deter: float [horizon + 1, rows, deter].
        stoch: int64 [horizon + 1, rows, stoch], or float [horizon + 1, rows, stoch * classes] where gradients are kept. On a graphics
            card empty, float [horizon + 1, rows, 0]; then deter is float [horizon + 1, rows, deter + stoch * classes] and holds both.
        action: float [horizon, rows, actions].
        states: all of its states, one row each: ((horizon + 1) * rows).
        earlier, later: of every step the state that it begins in and the one that it leads to: (horizon * rows).
        joint: on a graphics card deter, stoch and the action, scaled into the unit box, side by side and filled up with zeros.
    """

    deter: torch.Tensor
    stoch: torch.Tensor
    action: torch.Tensor
    states: States
    earlier: States
    later: States
    joint: torch.Tensor | None = None

    @classmethod
    def of(cls, deter: torch.Tensor, stoch: torch.Tensor, action: torch.Tensor, joint: torch.Tensor | None = None) -> "Rollout":
        """With the rows laid out."""
        rows, states = deter.shape[1], (deter.flatten(0, 1), stoch.flatten(0, 1))
        later = tuple(part[rows:] for part in states)
        return cls(deter, stoch, action, states, tuple(part[:-rows] for part in states), later, joint)

    @property
    def steps(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor | None]:
        """Of every step the state that it begins in and its action, one row each: what heads read that take an action beside the state."""
        if self.joint is None:
            return *self.earlier, self.action.flatten(0, 1)
        return self.joint[:-1].flatten(0, 1), self.earlier[1], None


class Rates(Protocol):
    """How Adam moves parameters: its step size, its epsilon, and the largest gradient norm."""

    learning_rate: float
    epsilon: float
    clip: float


class Made(NamedTuple):
    """What a source is made from; `options` are its own, an instance of its `Options`."""

    world_model: WorldModel
    spaces: Spaces
    settings: Settings
    method: Method
    options: Any


class Source(nn.Module):
    """A reward: derive from it directly, once in a module, with `reward` or `state_reward`, and with `losses` where something is learned.

    Attributes:
        Options: what a method may set under `options.{source}`.
        rates: how its parameters are moved against the gradient of the sum of its losses; None where it has none.
    """

    class Options(Section):
        """None."""

    rates: Rates | None = None

    def __init__(self, made: Made):
        super().__init__()
        self.made = made  # a tuple, so that the world model's parameters do not become this module's

    def losses(self, batch: Batch, observed: Observed) -> dict[str, torch.Tensor]:
        """Scalars to minimise, by the names they have in the metrics.

        Args:
            batch: what was replayed, [batch, time, ...].
            observed: the states of the world model in it, detached, [batch, time, ...].
        """
        return {}

    def reward(self, rollout: Rollout) -> torch.Tensor:
        """float [horizon, rows]: entry t for the step that leads to state t + 1. Gradients may pass, for continuous actions."""
        of_states = self.state_reward(rollout)
        assert of_states is not None, f"{type(self).__name__} has neither `reward` nor `state_reward`"
        return of_states[1:]

    def state_reward(self, rollout: Rollout) -> torch.Tensor | None:
        """The same of a source that rewards a state wherever it is reached, for every state: float [horizon + 1, rows]; else None."""
        return None


def make_source(name: str, world_model: WorldModel, spaces: Spaces, settings: Settings, method: Method) -> Source:
    """The source of that name, with the method's options for it.

    Raises:
        SenseiError: there is none, or its options are wrong.
    """
    kind = find(name, *SOURCES)
    options = validate(kind.Options, method.options.get(name, {}), f"method {method.title}", under=("options", name))
    return kind(Made(world_model, spaces, settings, method, options))
