"""Scripted play in the real NetHack: every event of the paper happens when it should and at no other time."""

from collections.abc import Iterator

import numpy as np
import pytest
import yaml
from fakes.nethack_player import OUT_OF_SIGHT, ChestPlayer, RoomPlayer, chest_in_crop

from sensei.envs.minihack.glyphs import CHEST, CLOSED_DOORS, DOWN_STAIRS, FLOOR, KEY, OPEN_DOORS, UP_STAIRS
from sensei.envs.minihack.minihack import MiniHackEnvironment
from sensei.study.models.environment import EnvironmentConfig


def config(root, name: str, **changes) -> EnvironmentConfig:
    return EnvironmentConfig(**{**yaml.safe_load((root / "config" / "envs" / f"{name}.yaml").read_text())["environment"], **changes})


@pytest.fixture
def make_env(root) -> Iterator:
    made = []

    def make(name: str, **changes) -> MiniHackEnvironment:
        made.append(MiniHackEnvironment(config(root, name, **changes), 64))
        return made[-1]

    yield make
    for env in made:
        env.close()


@pytest.mark.parametrize("name", [f"minihack_keyroom_s{side}" for side in (5, 7, 9, 11, 15)])
@pytest.mark.parametrize("seed", [0, 1, 3])  # of which none begins on the key
def test_keyroom_key_door_exit(make_env, name, seed):
    player = RoomPlayer(make_env(name), seed)
    player.go_to_door()
    player.act(player.APPLY)
    assert player.info["state"]["closed_door_beside"] == 1
    assert not any(player.events[event] for event in ("door_opened", "environment_reward")), "APPLY without the key does nothing"
    assert player.info["state"]["key_held"] == 0

    player.take_key()
    assert player.info["events"]["key_picked_up"] == 1
    assert player.info["state"]["key_held"] == 1
    assert player.observation["flags"] == [1.0]

    door = player.go_to_door()
    assert player.act(player.APPLY)["door_opened"] == 1, "one step unlocks and opens"
    assert player.info["state"]["open_door_in_view"] == 1
    assert player.info["state"]["closed_door_in_view"] == 0
    assert door in player.seen(*OPEN_DOORS)

    player.go_to({door})
    player.go_to({player.look_for(DOWN_STAIRS)})
    assert (player.terminated, player.truncated, player.reward) == (True, False, 1.0)
    assert player.events["key_picked_up"] == 1
    assert player.events["door_opened"] == 1, "walking through an open door is no second event"
    assert player.events["next_to_exit"] >= 1
    assert player.events["environment_reward"] == 1


def test_next_to_exit_counts_steps_beside_the_stairs(make_env):
    player = RoomPlayer(make_env("minihack_keyroom_s5"), 1)
    player.take_key()
    door = player.go_to_door()
    player.act(player.APPLY)
    player.go_to({door})
    stairs = player.look_for(DOWN_STAIRS)
    player.go_beside(stairs)
    assert player.info["state"]["stairs_in_view"] == 1
    assert [player.act(player.APPLY)["next_to_exit"] for _ in range(3)] == [1, 1, 1], "steps are counted, not arrivals"
    player.go_to({door})
    player.go_to({player.look_for(UP_STAIRS)})
    away = player.place
    assert max(abs(away[0] - stairs[0]), abs(away[1] - stairs[1])) > 1
    assert player.act(player.APPLY)["next_to_exit"] == 0


def test_an_open_door_that_comes_into_view_is_no_event(make_env):
    player = RoomPlayer(make_env("minihack_keyroom_s15"), 0)
    player.take_key()
    door = player.go_to_door()
    player.act(player.APPLY)
    far = max(player.seen(FLOOR, OUT_OF_SIGHT), key=lambda place: abs(place[0] - door[0]) + abs(place[1] - door[1]))
    player.go_to({far})
    assert player.info["state"]["open_door_in_view"] == 0
    player.go_beside(door)
    assert player.info["state"]["open_door_in_view"] == 1
    assert player.events["door_opened"] == 1


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_keychest_key_then_chest(make_env, seed):
    player = ChestPlayer(
        make_env("minihack_keychest", events=["key_picked_up", "door_opened", "at_chest_without_key", "at_chest_with_key"]), seed
    )
    player.go_beside_chest()
    assert player.info["state"]["chest_in_view"] == 1
    if player.info["state"]["key_held"]:
        pytest.fail("the way to the chest leads over the key; choose another seed")
    assert player.info["events"] == {"key_picked_up": 0, "door_opened": 0, "at_chest_without_key": 1, "at_chest_with_key": 0}
    opened = player.events["door_opened"]
    assert opened >= 1
    player.open_chest()
    assert (player.reward, player.terminated) == (0.0, False), "the chest gives nothing without the key"

    player.go_to({player.key}, avoid=player.chest)
    assert player.info["events"]["key_picked_up"] == 1
    assert player.observation["flags"] == [1.0]
    assert player.events["at_chest_with_key"] == 0 or chest_in_crop(player)

    player.open_chest()
    assert player.info["events"]["at_chest_with_key"] == 1
    assert (player.terminated, player.truncated) == (True, False)
    assert player.reward == pytest.approx(0.99), "OPEN takes no game time, so MiniHack's penalty is inside the success step"
    assert player.events["key_picked_up"] == 1


def test_keychest_rewards_only_the_chest(make_env):
    player = ChestPlayer(make_env("minihack_keychest"), 0)
    player.go_to({player.key}, avoid=player.chest)
    player.act(player.OPEN)
    player.act(0)
    assert (player.reward, player.terminated) == (0.0, False)


@pytest.mark.parametrize(("name", "steps"), [("minihack_keyroom_s5", 200), ("minihack_keyroom_s15", 600), ("minihack_keychest", 800)])
def test_the_time_out_truncates_and_keeps_the_last_picture(make_env, name, steps):
    env = make_env(name)
    env.reset(seed=3)
    blocked = env.action_space.n - 1  # APPLY without the key, or OPEN and no direction: the hero stays
    before = env.render_for_annotator().copy()
    for step in range(1, steps + 1):
        _, reward, terminated, truncated, info = env.step(blocked)
        assert (terminated, truncated, reward) == (False, step == steps, 0.0)
    assert np.array_equal(env.render_for_annotator(), before)
    assert info["state"]["x"] > 0


def test_success_on_the_last_step_is_a_success(make_env):
    env = make_env("minihack_keyroom_s5")
    player = RoomPlayer(env, 1)
    player.take_key()
    player.go_to_door()
    player.act(player.APPLY)
    player.go_to({player.look_for(DOWN_STAIRS)})
    short = make_env("minihack_keyroom_s5", episode_steps=len(player.actions))
    short.reset(seed=1)
    *_, last = [short.step(action) for action in player.actions]
    assert last[1:4] == (1.0, True, False)


def test_the_door_closed_before_and_the_chest_glyphs_are_what_the_state_says(make_env):
    env = make_env("minihack_keychest")
    rng = np.random.default_rng(0)
    env.reset(seed=0)
    for _ in range(300):
        *_, info = env.step(int(rng.integers(5)))
        crop, state = env._now.crop, info["state"]
        assert state["closed_door_in_view"] == np.isin(crop, CLOSED_DOORS).any()
        assert state["open_door_in_view"] == np.isin(crop, OPEN_DOORS).any()
        assert state["closed_door_beside"] == np.isin(crop[1:4, 1:4], CLOSED_DOORS).any()
        assert state["chest_in_view"] == (crop == CHEST).any()
        assert state["key_in_view"] == (crop == KEY).any()


def test_a_pick_up_message_comes_exactly_when_the_key_enters_the_inventory(make_env):
    env = make_env("minihack_keyroom_s5")
    rng = np.random.default_rng(1)
    picked_up = 0
    for episode in range(12):
        _, info = env.reset(seed=episode)
        ended = False
        while not ended:
            held = info["state"]["key_held"]
            _, _, terminated, truncated, info = env.step(int(rng.integers(9)))
            assert info["events"]["key_picked_up"] == info["state"]["key_held"] - held
            picked_up += info["events"]["key_picked_up"]
            ended = terminated or truncated
    assert picked_up >= 6
