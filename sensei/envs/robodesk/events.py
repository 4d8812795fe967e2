"""What is counted on the desk and what an oracle may look at (docs/method.md, sections 7 and 8)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from sensei.envs.contract import TASK_EVENT

if TYPE_CHECKING:  # names are read where there is no MuJoCo
    from sensei.envs.robodesk.simulation import Simulation

BODIES = ("ball", "upright_block", "flat_block")
BUTTONS = ("red_button", "green_button", "blue_button")
ENTITIES = ("drawer", "slide", *BUTTONS, *BODIES)
MOVED = tuple(f"{entity}_moved" for entity in ENTITIES)
# What the paper's figures call an interaction (Figure 6), and the events that it sums.
INTERACTIONS = {
    "upright_block": ["upright_block_moved"],
    "flat_block": ["flat_block_moved"],
    "ball": ["ball_moved"],
    "buttons": [f"{button}_moved" for button in BUTTONS],
    "drawer": ["drawer_moved"],
    "sliding_cabinet": ["slide_moved"],
}
MOVING = 0.02  # metres per second
UNSTABLE = "unstable"


def event_names(tasks: Iterable[str]) -> tuple[str, ...]:
    """Movements, the success of every task and the simulator's failure."""
    return (*MOVED, *(f"{TASK_EVENT}{task}" for task in tasks), UNSTABLE)


class Readings:
    """Movements and the state of a simulation, read through indices that are looked up once."""

    def __init__(self, simulation: Simulation):
        model, data = simulation.model, simulation.data
        self._data = data
        joints = ("drawer_joint", "slide_joint", *BUTTONS, *BODIES)
        first = [model.joint(name).dofadr[0] for name in joints]
        # The paper's code looks at x, y and z of a body and not at its rotation.
        self._velocities = [slice(at, at + (3 if name in BODIES else 1)) for at, name in zip(first, joints, strict=True)]
        self._bodies = {name: data.body(name).xpos for name in BODIES}
        handles = {"drawer_handle": data.geom("drawer_handle").xpos, "slide_handle": data.site("slide_handle").xpos}
        buttons = {name: data.body(name).xpos for name in BUTTONS}
        self._end_effector, self._near = simulation.end_effector, {**self._bodies, **handles, **buttons}
        self._joints = {name: data.joint(name).qpos for name in ("drawer_joint", "slide_joint")}

    def moved(self) -> dict[str, float]:
        """1 for every entity that moves, else 0."""
        speed = np.abs(self._data.qvel)
        moving = (float((speed[which] > MOVING).any()) for which in self._velocities)
        return dict(zip(MOVED, moving, strict=True))

    def state(self, stacked: float) -> dict[str, float]:
        """All joint positions, from which the picture can be drawn again, and what an oracle looks at; metres, in the world's frame."""
        positions = {"end_effector": self._end_effector, **self._bodies}
        return {
            **{f"qpos_{index}": float(value) for index, value in enumerate(self._data.qpos)},
            **self.moved(),
            **{f"{name}_{axis}": float(value) for name, at in positions.items() for axis, value in zip("xyz", at, strict=True)},
            **{name: float(position[0]) for name, position in self._joints.items()},
            **{f"distance_{name}": float(np.linalg.norm(self._end_effector - at)) for name, at in self._near.items()},
            "stacked": stacked,
        }


def joint_positions(state: dict[str, float]) -> np.ndarray:
    """The joint positions, float64 [nq], that `Readings.state` wrote."""
    number = sum(name.startswith("qpos_") for name in state)
    return np.array([state[f"qpos_{index}"] for index in range(number)], np.float64)
