"""MiniHack's oracle on states made by hand."""

import pytest

from sensei.core.errors import SenseiError
from sensei.envs.minihack.minihack import MiniHackEnvironment
from sensei.envs.minihack.oracle import ROOM_KEYS, can_rank, ranks


def room(*true: str) -> dict[str, float]:
    """State of a KeyRoom in which exactly these are true."""
    return dict.fromkeys(ROOM_KEYS, 0.0) | dict.fromkeys(true, 1.0)


def chest(*true: str) -> dict[str, float]:
    """State of a KeyChest in which exactly these are true."""
    return room(*true) | {"chest_in_view": float("chest_in_view" in true)}


def test_the_room_ranking_is_that_of_the_released_code():
    order = [
        room(),
        room("key_in_view"),
        room("key_held"),
        room("key_held", "closed_door_beside"),
        room("key_held", "open_door_in_view"),
        room("key_held", "open_door_in_view", "stairs_in_view"),
    ]
    assert [int(ranks(state)) for state in order] == [0, 1, 2, 3, 4, 5]
    assert ranks(room("closed_door_beside")) == 0, "a door without a key is nothing"


def test_the_chest_ranking_ignores_doors():
    order = [chest(), chest("key_in_view"), chest("chest_in_view"), chest("key_held"), chest("chest_in_view", "key_held")]
    assert [int(ranks(state)) for state in order] == [0, 1, 2, 3, 4]
    assert ranks(chest("open_door_in_view", "closed_door_beside")) == 0


def test_other_states_are_refused():
    assert can_rank(room()) and can_rank(chest()) and not can_rank({"x": 0.0})
    with pytest.raises(SenseiError, match="the oracle cannot rank this environment's states: found x, expected keys key_held"):
        ranks({"x": 0.0})


def test_no_state_is_nearer_or_very_good():
    assert ranks(room("key_held"), nearer=True) == ranks(room("key_held"))
    with pytest.raises(SenseiError, match="`extremes` in MiniHackEnvironment\n-> set `pairs.kind: random`"):
        MiniHackEnvironment.extremes(room())
