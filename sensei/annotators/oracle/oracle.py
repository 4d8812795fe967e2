"""Annotators that read the game state instead of the picture.

Which state is more interesting is a matter of rank (paper section 5.5, for KeyRoom from the released code; for KeyChest ours):

    KeyRoom   stairs in view > open door in view > key held beside a closed door > key held > key in view > nothing
    KeyChest  chest in view with the key > key held > chest in view > key in view > nothing

KeyChest's doors open by walking and mean nothing there, so doors are ranked only where no chest can be (`chest_in_view` is not
among the state's keys). A state of Robodesk is interesting or not, rank 1 or 0 (`robodesk_oracle`). Equal ranks are a tie, and two
states of rank 0 have nothing of interest: unknown (codes 2 and 3).
"""

from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.robodesk import oracle as robodesk_oracle
from sensei.preferences.pair import Label, Pair, Reply

COMMON_KEYS = ("key_held", "key_in_view")
ROOM_KEYS = (*COMMON_KEYS, "stairs_in_view", "open_door_in_view", "closed_door_beside")
CHEST_KEYS = (*COMMON_KEYS, "chest_in_view")


def can_rank(keys: Iterable[str]) -> bool:
    """Whether a state with these keys is one that `ranks` understands."""
    return any(set(known) <= set(keys) for known in (ROOM_KEYS, CHEST_KEYS, robodesk_oracle.KEYS))


def ranks(state: Mapping[str, np.ndarray | float], nearer: bool = False) -> np.ndarray:
    """Rank of states, [N] (or a scalar), from 0 (nothing of interest) upwards.

    Args:
        state: key -> values [N] or a number; above 0.5 is true.
        nearer: of two states of Robodesk that are equally interesting, the one whose gripper is nearer to an object ranks higher.

    Raises:
        SenseiError: the environment's state lacks what the ranking needs.
    """
    if not can_rank(state):
        raise SenseiError(
            "the oracle cannot rank this environment's states",
            found=", ".join(state) or "no state",
            expected=f"keys {', '.join(ROOM_KEYS)}",
        )
    if set(robodesk_oracle.KEYS) <= set(state):
        found = robodesk_oracle.interesting(state).astype(np.int64)
        return found + np.exp(-robodesk_oracle.distances(state).min(0)) if nearer else found
    holds = {key: np.asarray(state[key]) > 0.5 for key in (*ROOM_KEYS, "chest_in_view") if key in state}
    held, visible = holds["key_held"], holds["key_in_view"]
    if "chest_in_view" in holds:
        chest = holds["chest_in_view"]
        return np.select([chest & held, held, chest, visible], [4, 3, 2, 1], 0)
    conditions = [holds["stairs_in_view"], holds["open_door_in_view"], held & holds["closed_door_beside"], held, visible]
    return np.select(conditions, [5, 4, 3, 2, 1], 0)


def compare(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels, int64 [N], of two arrays of ranks [N]."""
    unequal = np.where(first > second, Label.FIRST, Label.SECOND)
    return np.where(first != second, unequal, np.where(first > 0, Label.TIE, Label.UNKNOWN))


class Oracle:
    """Prefers the state of higher rank."""

    nearer = False

    def __init__(self, nearer: bool = False):
        self.nearer = nearer

    def answer(self, pair: Pair) -> Label:
        """What it says of the two sides as shown."""
        return Label(int(compare(ranks(pair.first.state, self.nearer), ranks(pair.second.state, self.nearer))))

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            answer = self.answer(pair)
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
