"""The toys do what their docstrings say; other tests build on that."""

from collections import deque

import numpy as np
import pytest

from sensei.envs.contract import Environment
from sensei.envs.toy import MOVES, Counting, KeyDoor
from sensei.study.models.environment import EnvironmentConfig


def make(toy: type[Environment], steps: int = 50, events: tuple[str, ...] = ("environment_reward",), image_size: int = 24):
    about = {"family": f"sensei.envs.toy:{toy.__name__}", "level": toy.__name__, "tasks": ["keydoor"], "title": "T"}
    return toy(EnvironmentConfig(**about, episode_steps=steps, events=list(events)), image_size)


def test_every_counting_frame_says_where_it_was_taken():
    env = make(Counting, steps=300, events=("odd_step", "environment_reward"))
    seed = next(seed for seed in range(20) if env.reset(seed=seed)[1]["state"]["seed"] % 2 == 0)
    observation, info = env.reset(seed=seed)
    assert observation["image"][0, 0].tolist() == [0, 0, info["state"]["seed"]]
    for step in range(1, 300):
        observation, reward, terminated, truncated, info = env.step(step % 3)
        assert (observation["image"] == [step % 256, 10 * (step % 3 + 1), info["state"]["seed"]]).all()
        assert observation["flags"] == info["events"]["odd_step"] == step % 2
        assert reward == step / 100
        assert not terminated
        assert not truncated
    assert env.step(0)[2:4] == (False, True)


def test_counting_ends_both_ways():
    env, ends = make(Counting, steps=20), []
    for seed in range(30):
        env.reset(seed=seed)
        while not any(end := env.step(0)[2:4]):
            pass
        ends.append(end)
    assert set(ends) == {(True, False), (False, True)}


def cells(picture: np.ndarray) -> dict[tuple[int, ...], tuple[int, int]]:
    """Colour -> (row, column) in a KeyDoor picture."""
    size = picture.shape[0] // 4
    return {tuple(picture[row * size, column * size].tolist()): (row, column) for row in range(4) for column in range(4)}


def walk(env, start, goal, avoid=None):
    """Shortest way over the grid, then walk it; what the last step returned."""
    queue, ways = deque([start]), {start: []}
    while queue:
        place = queue.popleft()
        for action, (row, column) in enumerate(MOVES):
            other = place[0] + row, place[1] + column
            if other not in ways and other != avoid and min(other) >= 0 and max(other) < 4:
                ways[other] = [*ways[place], action]
                queue.append(other)
    for action in ways[goal]:
        result = env.step(action)
    return result


@pytest.mark.parametrize("image_size", [16, 24, 32])
@pytest.mark.parametrize("seed", range(5))
def test_key_then_door_solves_keydoor(seed, image_size):
    env = make(KeyDoor, events=("key_picked_up", "door_opened", "environment_reward"), image_size=image_size)
    observation, info = env.reset(seed=seed)
    seen = cells(observation["image"])
    hero, key, door = seen[env.HERO], seen[env.KEY], seen[env.DOOR]
    rank = [int(KeyDoor.ranks(info["state"]))]
    _, reward, terminated, _, info = walk(env, hero, door, avoid=key)
    assert (reward, terminated, info["events"]["door_opened"]) == (0.0, False, 0.0), "the door does not open without the key"
    observation, _, _, _, info = walk(env, door, key)
    assert info["events"] == {"key_picked_up": 1.0, "door_opened": 0.0, "environment_reward": 0.0}
    assert observation["flags"] == [1.0]
    assert env.KEY not in cells(observation["image"])
    rank.append(int(KeyDoor.ranks(info["state"])))
    _, reward, terminated, truncated, info = walk(env, key, door)
    assert (reward, terminated, truncated) == (1.0, True, False)
    assert info["events"] == {"key_picked_up": 0.0, "door_opened": 1.0, "environment_reward": 1.0}
    rank.append(int(KeyDoor.ranks(info["state"])))
    assert rank == sorted(set(rank)), "the oracle likes each stage better than the one before"


def test_keydoor_places_differ_between_seeds_and_never_collide():
    env = make(KeyDoor, image_size=16)
    starts = {tuple(sorted(cells(env.reset(seed=seed)[0]["image"]).items())) for seed in range(40)}
    assert len(starts) > 20
    assert all({env.HERO, env.KEY, env.DOOR} <= dict(start).keys() for start in starts)
