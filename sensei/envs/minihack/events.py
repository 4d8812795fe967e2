"""What is counted and what the oracle sees in a MiniHack episode; docs/method.md cites these functions.

The paper counts these events (Figure 5) and defines none; the pick-up is the released code's, what the others are taken for is said
in docs/method.md, section 4.
"""

import re
from dataclasses import dataclass

import numpy as np

from sensei.envs.minihack.glyphs import CHEST, CLOSED_DOORS, DOWN_STAIRS, KEY, OPEN_DOORS

KEY_MESSAGE = re.compile(rb"[a-zA-Z] - a key(?: named The Master Key of Thievery)?\.")
EVENTS = ("key_picked_up", "door_opened", "next_to_exit", "at_chest_without_key", "at_chest_with_key")


@dataclass(frozen=True)
class Moment:
    """One observation of the game, copied from NetHack's buffers."""

    glyphs: np.ndarray  # int16 [21, 79]: the whole map as the hero knows it
    crop: np.ndarray  # int16 [5, 5]: the map around the hero, who is in the middle
    view: frozenset[int]  # the glyphs of `crop`
    beside: frozenset[int]  # the glyphs of the hero's cell and of the 8 around it
    message: bytes
    key_held: bool
    x: int
    y: int

    @classmethod
    def of(cls, observation: dict[str, np.ndarray]) -> "Moment":
        """Read a MiniHack observation."""
        crop = observation["glyphs_crop"]
        return cls(
            glyphs=observation["glyphs"].copy(),
            crop=crop.copy(),
            view=frozenset(crop.ravel().tolist()),
            beside=frozenset(crop[1:4, 1:4].ravel().tolist()),
            message=observation["message"].tobytes(),
            key_held=KEY in observation["inv_glyphs"].tolist(),
            x=int(observation["blstats"][0]),
            y=int(observation["blstats"][1]),
        )


def key_picked_up(now: Moment) -> bool:
    """NetHack says so at this step: an inventory letter, a dash and the key's name (released code)."""
    return KEY_MESSAGE.search(now.message) is not None


def door_opened(before: Moment, now: Moment) -> bool:
    """A door that was seen closed (or locked) before this step is seen open after it, in the same place of the map.

    Walking up to a door that is open already is no event: its place showed no closed door before.
    """
    changed = before.glyphs != now.glyphs
    was, became = before.glyphs[changed].tolist(), now.glyphs[changed].tolist()
    return any(old in CLOSED_DOORS and new in OPEN_DOORS for old, new in zip(was, became, strict=True))


def next_to_exit(now: Moment) -> bool:
    """The down-stairs are in one of the 8 cells around the hero."""
    return DOWN_STAIRS in now.beside


def at_chest(now: Moment) -> bool:
    """The chest is in the 5x5 view."""
    return CHEST in now.view


def events(before: Moment, now: Moment) -> dict[str, float]:
    """1.0 for each event of EVENTS that happened at the step from `before` to `now`, else 0.0."""
    chest = at_chest(now)
    happened = (key_picked_up(now), door_opened(before, now), next_to_exit(now), chest and not now.key_held, chest and now.key_held)
    return dict(zip(EVENTS, map(float, happened), strict=True))


def state(now: Moment, chest: bool) -> dict[str, float]:
    """What the oracle may look at: truths as 0.0 or 1.0, and the hero's column and row on the map.

    Args:
        chest: whether the level has a chest; only then is there an entry for it, which tells the oracle the levels apart.
    """
    truths = {
        "stairs_in_view": DOWN_STAIRS in now.view,
        "open_door_in_view": not now.view.isdisjoint(OPEN_DOORS),
        "closed_door_in_view": not now.view.isdisjoint(CLOSED_DOORS),
        "closed_door_beside": not now.beside.isdisjoint(CLOSED_DOORS),
        "key_held": now.key_held,
        "key_in_view": KEY in now.view,
        **({"chest_in_view": at_chest(now)} if chest else {}),
        "x": now.x,
        "y": now.y,
    }
    return {name: float(value) for name, value in truths.items()}
