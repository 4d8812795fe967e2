"""Uniformly random actions: the floor."""

from typing import Any

import numpy as np

from sensei.agents.contract import Agent, Phase, Rows
from sensei.agents.uniform import UniformActions
from sensei.replay.step import Spaces
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings


class RandomAgent(Agent):
    """An agent that acts at random and learns nothing."""

    explores = True
    learns = False
    behaviours = ("explore",)

    def __init__(
        self, spaces: Spaces, settings: Settings, method: Method, weights: ExplorationConfig, phase: Phase, seed: int, device: str = "cpu"
    ):
        self.actions = UniformActions(spaces, seed, "random agent")

    def policy(self, rows: Rows, state: None, generator: Any = None) -> tuple[np.ndarray, None]:
        """A random action for every worker of `rows`, from the agent's own stream whatever the generator."""
        return self.actions.sample(len(rows["is_first"])), None

    def checkpoint(self) -> dict[str, Any]:
        """State of the stream."""
        return {"actions": self.actions.checkpoint()}

    def restore(self, checkpoint: dict[str, Any]) -> None:
        """Continue the stream."""
        self.actions.restore(checkpoint["actions"])
