"""Which states of Robodesk are interesting, by the simulator's state (released code; docs/method.md, section 8)."""

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.contract import State

BLOCKS = ("upright_block", "flat_block")
HANDLES = ("drawer_handle", "slide_handle")
ENTITIES = ("ball", *BLOCKS, *HANDLES)  # buttons count where they move, not by their distance
MOVING = ("drawer", "slide", "red_button", "green_button", "blue_button", *BLOCKS)  # the ball rolls by itself
KEYS = (
    *(f"{entity}_moved" for entity in MOVING),
    *(f"distance_{entity}" for entity in ENTITIES),
    *(f"{thing}_{axis}" for thing in ("end_effector", *BLOCKS) for axis in "xyz"),
    "drawer_joint",
    "slide_joint",
    "stacked",
)


class Rule(NamedTuple):
    """What counts as interesting.

    near: metres from the gripper to an entity. drawer_open: the drawer's joint is below this. contact: also the rules of `CONTACTS`.
    """

    near: float
    drawer_open: float
    contact: bool


class Contact(NamedTuple):
    """Almost touching: nearer than `near`, at about the same height, and about the same in x or in y (metres)."""

    near: float
    height: float
    aside: float


FILTER = Rule(near=0.145, drawer_open=-0.18, contact=False)  # chooses the states of contrastive pairs
ANNOTATOR = Rule(near=0.15, drawer_open=-0.15, contact=True)  # labels pairs
CONTACTS = {
    "upright_block": Contact(0.21, 0.10, 0.10),
    "flat_block": Contact(0.21, 0.10, 0.10),
    "drawer_handle": Contact(0.22, 0.15, 0.10),
    "slide_handle": Contact(0.21, 0.05, 0.05),
}
VERY_NEAR, FAR, MEAN_FAR = 0.122, 0.45, 0.65  # metres from the gripper


def can_rank(keys: Iterable[str]) -> bool:
    """Whether states with these keys are of the desk."""
    return set(KEYS) <= set(keys)


def ranks(state: State, nearer: bool = False) -> np.ndarray:
    """1 for interesting states, else 0, int64 [N] (or a scalar).

    Args:
        nearer: of equally interesting states, the one with the gripper nearer to an entity ranks higher, float64 [N].

    Raises:
        SenseiError: keys are missing.
    """
    _require_keys(state)
    found = interesting(state).astype(np.int64)
    return found + np.exp(-distances(state).min(0)) if nearer else found


def interesting(state: State, rule: Rule = ANNOTATOR) -> np.ndarray:
    """Whether states, key -> values [N] or a number, are interesting, bool [N] (or a scalar)."""
    moves = np.logical_or.reduce([np.asarray(state[f"{entity}_moved"]) > 0.5 for entity in MOVING])
    near = distances(state).min(0) < rule.near
    done = (np.asarray(state["drawer_joint"]) < rule.drawer_open) | (np.asarray(state["stacked"]) > 0.5)
    found = moves | near | done
    return found | np.logical_or.reduce([_touches(state, *item) for item in CONTACTS.items()]) if rule.contact else found


def distances(state: State) -> np.ndarray:
    """Metres from the gripper to each of `ENTITIES`, float [5, N] (or [5])."""
    return np.stack([np.asarray(state[f"distance_{entity}"]) for entity in ENTITIES])


def extremes(state: State) -> tuple[np.ndarray, np.ndarray]:
    """Which states are very good and which very bad, two bool [N]: the two sides of contrastive pairs.

    Raises:
        SenseiError: keys are missing.
    """
    _require_keys(state)
    found, distance = interesting(state, FILTER), distances(state)
    good = found & (distance.min(0) < VERY_NEAR)
    bad = ~found & (distance.mean(0) > MEAN_FAR) & (distance.min(0) > FAR)
    return good, bad


def _require_keys(state: State) -> None:
    if missing := [key for key in KEYS if key not in state]:
        raise SenseiError("the oracle cannot rank this environment's states", found=f"no {missing[0]}", expected="a state of Robodesk")


def _touches(state: State, entity: str, contact: Contact) -> np.ndarray:
    gripper = [np.asarray(state[f"end_effector_{axis}"]) for axis in "xyz"]
    x, y, z = (np.abs(of - at) for of, at in zip(_position(state, entity), gripper, strict=True))
    near = np.sqrt(x**2 + y**2 + z**2) < contact.near
    return near & (z < contact.height) & ((x < contact.aside) | (y < contact.aside))


def _position(state: State, entity: str) -> list[np.ndarray]:
    """Where an entity is, three [N] in the world's frame; handles by their joints, as in the released code."""
    if entity == "drawer_handle":
        return [np.asarray(0.0), 0.529 + np.asarray(state["drawer_joint"]), np.asarray(0.665)]
    if entity == "slide_handle":
        return [-0.3 + np.asarray(state["slide_joint"]), np.asarray(0.78), np.asarray(0.935)]
    return [np.asarray(state[f"{entity}_{axis}"]) for axis in "xyz"]
