"""Rewards of every Robodesk task: the functions of the `robodesk` package and the paper's easier openings (docs/method.md, section 7)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from sensei.envs.robodesk.events import BODIES, BUTTONS

if TYPE_CHECKING:  # names are read where there is no MuJoCo
    from sensei.envs.robodesk.simulation import Simulation


class Opening(NamedTuple):
    """An easier variant of an upstream task: `sign` times the joint's position must exceed `least` metres."""

    like: str
    joint: str
    sign: int
    least: float


OPENINGS = {
    "open_slide_easy": Opening("open_slide", "slide_joint", 1, 0.45),
    "open_drawer_medium": Opening("open_drawer", "drawer_joint", -1, 0.15),
    "open_drawer_light": Opening("open_drawer", "drawer_joint", -1, 0.1),
}
UPSTREAM_TASKS = (
    "open_slide",
    "open_drawer",
    "push_green",
    "stack",
    "upright_block_off_table",
    "flat_block_in_bin",
    "flat_block_in_shelf",
    "lift_upright_block",
    "lift_ball",
    "push_blue",
    "push_red",
    "flat_block_off_table",
    "ball_off_table",
    "upright_block_in_bin",
    "ball_in_bin",
    "upright_block_in_shelf",
    "ball_in_shelf",
    "lift_flat_block",
)
TASKS = (*UPSTREAM_TASKS, *OPENINGS)


class Rewards:
    """Dense reward and success of every task in the simulation's present state.

    `original_positions` views: a body's position at reset is a view of its present one, as upstream has it by mistake, so that no body
    ever counts as moved; copies: its position at reset.
    """

    def __init__(self, simulation: Simulation, original_positions: str):
        data, package = simulation.data, simulation.package
        self._positions = {name: data.body(name).xpos for name in (*BODIES, *BUTTONS)}
        self._joints = {data.joint(index).name: data.joint(index).qpos for index in range(simulation.model.njnt)}
        self._package, self._copies = package, original_positions == "copies"
        # The package looks names up in dm_control's indexers, which take longer than the arithmetic; dictionaries of views do not.
        sites = {name: data.site(name).xpos for name in ("end_effector", "slide_handle")}
        geoms = {"drawer_handle": data.geom("drawer_handle").xpos}
        named = SimpleNamespace(xpos=self._positions, qpos=self._joints, site_xpos=sites, geom_xpos=geoms)
        package.physics = SimpleNamespace(named=SimpleNamespace(data=named))

    def begin(self) -> None:
        """Note where the bodies are at the start of an episode."""
        self._package.original_pos = {name: self._positions[name].copy() if self._copies else self._positions[name] for name in BODIES}

    def dense(self) -> np.ndarray:
        """Upstream's shaped reward of each of `TASKS`, float64 [tasks] from 0 to 1; the easier openings have that of the full one."""
        return np.array([self._clipped(OPENINGS[task].like if task in OPENINGS else task, "dense_reward") for task in TASKS])

    def successes(self) -> np.ndarray:
        """1 for each of `TASKS` that is solved, else 0, float64 [tasks]."""
        return np.array([self.success(task) for task in TASKS])

    def success(self, task: str) -> float:
        """1 where `task` is solved, else 0."""
        if task not in OPENINGS:
            return self._clipped(task, "success")
        opening = OPENINGS[task]
        return float(opening.sign * self._joints[opening.joint][0] > opening.least)

    def _clipped(self, task: str, kind: str) -> float:
        reward = self._package.reward_functions[task](kind)  # a number, or an array of one
        return max(0.0, min(1.0, float(np.ravel(reward)[0])))
