"""How near a state of Pokemon Red is to the first badge (ours: the paper has no oracle here, its annotator is asked the same question)."""

from collections.abc import Iterable

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.contract import State

KEYS = ("segment", "badges", "highest_level", "in_battle")


def can_rank(keys: Iterable[str]) -> bool:
    """Whether states with these keys are of the game."""
    return set(KEYS) <= set(keys)


def ranks(state: State, nearer: bool = False) -> np.ndarray:
    """Rank of states, float64 [N] (or a scalar): the segment of the road that the player is on, in front of all others one with a badge.

    A map off the road, such as a shop, ranks 0, below Oak's lab. `nearer`: on one segment, a battle and a higher level rank higher.

    Raises:
        SenseiError: keys are missing.
    """
    if not can_rank(state):
        found = ", ".join(state) or "no state"
        raise SenseiError("the oracle cannot rank this environment's states", found=found, expected=f"keys {', '.join(KEYS)}")
    segment, badges, level, battle = (np.asarray(state[key], np.float64) for key in KEYS)
    found = segment + 1 + 100 * badges
    return found + (level + 100 * (battle > 0.5)) / 1000 if nearer else found
