"""How interesting a state of KeyRoom or KeyChest is (KeyRoom from the released code, KeyChest ours; docs/method.md, section 5).

    KeyRoom   stairs in view > open door in view > key held beside a closed door > key held > key in view > nothing
    KeyChest  chest in view with the key > key held > chest in view > key in view > nothing

KeyChest's doors open by walking and mean nothing there, so doors are ranked only where no chest can be (`chest_in_view` is not
among the state's keys).
"""

from collections.abc import Iterable

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.contract import State

COMMON_KEYS = ("key_held", "key_in_view")
ROOM_KEYS = (*COMMON_KEYS, "stairs_in_view", "open_door_in_view", "closed_door_beside")
CHEST_KEYS = (*COMMON_KEYS, "chest_in_view")


def can_rank(keys: Iterable[str]) -> bool:
    """Whether states with these keys are of one of the two."""
    return any(set(known) <= set(keys) for known in (ROOM_KEYS, CHEST_KEYS))


def ranks(state: State, nearer: bool = False) -> np.ndarray:
    """Rank of states, int64 [N] (or a scalar), from 0 upwards; `nearer` makes no difference.

    Raises:
        SenseiError: keys are missing.
    """
    if not can_rank(state):
        found, expected = ", ".join(state) or "no state", f"keys {', '.join(ROOM_KEYS)}"
        raise SenseiError("the oracle cannot rank this environment's states", found=found, expected=expected)
    holds = {key: np.asarray(state[key]) > 0.5 for key in (*ROOM_KEYS, "chest_in_view") if key in state}
    held, visible = holds["key_held"], holds["key_in_view"]
    if "chest_in_view" in holds:
        chest = holds["chest_in_view"]
        return np.select([chest & held, held, chest, visible], [4, 3, 2, 1], 0)
    conditions = [holds["stairs_in_view"], holds["open_door_in_view"], held & holds["closed_door_beside"], held, visible]
    return np.select(conditions, [5, 4, 3, 2, 1], 0)
