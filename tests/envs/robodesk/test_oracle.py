"""Robodesk's oracle on states made by hand: each rule alone, and both versions."""

import numpy as np
import pytest

from sensei.core.errors import SenseiError
from sensei.envs.robodesk.oracle import ANNOTATOR, BLOCKS, ENTITIES, FILTER, KEYS, MOVING, can_rank, extremes, interesting, ranks


def desk(**changes: float) -> dict[str, float]:
    """A state in which nothing moves and the gripper is far from everything."""
    state = dict.fromkeys(KEYS, 0.0) | {f"distance_{entity}": 0.9 for entity in ENTITIES}
    return state | {"end_effector_x": 5.0, "end_effector_y": 5.0, "end_effector_z": 5.0} | changes


def beside(entity_at: tuple[float, float, float], offset: tuple[float, float, float], **changes: float) -> dict[str, float]:
    """A state with the gripper at `offset` metres from a position."""
    at = {f"end_effector_{axis}": place + far for axis, place, far in zip("xyz", entity_at, offset, strict=True)}
    return desk(**at, **changes)


def test_a_desk_at_rest_is_dull():
    assert can_rank(desk())
    for rule in (FILTER, ANNOTATOR):
        assert not interesting(desk(), rule)


@pytest.mark.parametrize("entity", MOVING)
def test_whatever_moves_is_interesting(entity):
    assert interesting(desk(**{f"{entity}_moved": 1.0}), FILTER) and interesting(desk(**{f"{entity}_moved": 1.0}))


def test_a_ball_that_rolls_by_itself_is_dull():
    assert not interesting(desk() | {"ball_moved": 1.0})
    assert interesting(desk(ball_moved=1.0, distance_ball=0.1))


@pytest.mark.parametrize("entity", ENTITIES)
@pytest.mark.parametrize(("rule", "distance", "found"), [(FILTER, 0.144, True), (FILTER, 0.146, False), (ANNOTATOR, 0.149, True)])
def test_near_an_entity(entity, rule, distance, found):
    assert interesting(desk(**{f"distance_{entity}": distance}), rule) == found


@pytest.mark.parametrize(("joint", "by_filter", "by_annotator"), [(-0.14, False, False), (-0.16, False, True), (-0.19, True, True)])
def test_an_open_drawer(joint, by_filter, by_annotator):
    state = desk(drawer_joint=joint)
    assert (interesting(state, FILTER), interesting(state)) == (by_filter, by_annotator)


def test_a_stack():
    assert interesting(desk(stacked=1.0), FILTER)


@pytest.mark.parametrize(
    ("offset", "found"),
    [
        ((0.09, 0.16, 0.05), True),  # 19 cm away, nearly level, nearly the same x
        ((0.11, 0.12, 0.05), False),  # neither the same x nor the same y
        ((0.09, 0.12, 0.11), False),  # too high
        ((0.01, 0.21, 0.0), False),  # too far
    ],
)
@pytest.mark.parametrize("block", BLOCKS)
def test_almost_touching_a_block_counts_for_the_annotator_alone(block, offset, found):
    place = (0.3, 0.6, 0.8)
    state = beside(place, offset, **{f"{block}_{axis}": at for axis, at in zip("xyz", place, strict=True)})
    assert interesting(state) == found
    assert not interesting(state, FILTER)


def test_handles_move_with_their_joints():
    assert interesting(beside((0, 0.529 - 0.1, 0.665), (0.09, 0.12, 0.14), drawer_joint=-0.1))
    assert not interesting(beside((0, 0.529, 0.665), (0.09, 0.12, 0.14), drawer_joint=-0.1))
    assert interesting(beside((-0.3 + 0.2, 0.78, 0.935), (0.04, 0.15, 0.04), slide_joint=0.2))
    assert not interesting(beside((-0.3 + 0.2, 0.78, 0.935), (0.04, 0.15, 0.06), slide_joint=0.2))


def test_ranks_are_two_booleans():
    assert (ranks(desk()), ranks(desk(stacked=1.0))) == (0, 1)


def test_the_nearer_of_two_equally_interesting_states():
    near, far, lively = desk(distance_ball=0.3), desk(distance_ball=0.4), desk(stacked=1.0)
    order = [float(ranks(state, nearer=True)) for state in (far, near, lively)]
    assert order == sorted(set(order))


def test_a_state_of_something_else_is_refused():
    dull = desk()
    lacking = {key: value for key, value in dull.items() if key != "stacked"}
    assert can_rank(dull) and not can_rank(lacking)
    for rule in (ranks, extremes):
        with pytest.raises(SenseiError, match="found no stacked, expected a state of Robodesk"):
            rule(lacking)


def test_very_good_and_very_bad_states():
    states = [
        desk(distance_ball=0.12),  # interesting and near
        desk(distance_ball=0.13),  # interesting, not near enough
        desk(),  # dull and far
        desk(distance_ball=0.44),  # dull, one entity not far
        desk(**{f"distance_{entity}": 0.6 for entity in ENTITIES}),  # dull, the mean not far
        desk(stacked=1.0),  # interesting, far
    ]
    good, bad = extremes({key: np.array([state[key] for state in states]) for key in KEYS})
    assert good.tolist() == [True, False, False, False, False, False]
    assert bad.tolist() == [False, False, True, False, False, False]
