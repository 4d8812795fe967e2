"""Robodesk behind the contract: starts, pictures, events, broken simulations, seeds."""

import subprocess
import sys

import numpy as np
import pytest
from fakes.robodesk_upstream import random_actions, robodesk, robodesk_config
from helpers import environment
from PIL import Image

from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed
from sensei.envs.check import check_environment
from sensei.envs.registry import make
from sensei.envs.robodesk.rewards import TASKS
from sensei.envs.vector.environment import VectorEnvironment


@pytest.fixture(scope="module")
def desk():
    with robodesk() as env:
        yield env


def place(env, **joints) -> None:
    """Continue from these joint positions, all else in the middle of the starts, at rest."""
    simulation = env._simulation
    simulation.reset(None)
    for name, position in joints.items():
        simulation.data.joint(name).qpos[: len(position)] = position
    simulation.start(simulation.data.qpos.copy())
    env._rewards.begin()


def test_it_keeps_the_contract_at_full_quality_and_in_evaluations():
    for options, evaluation in (({"render_quality": "full"}, False), ({"original_positions": "copies", "reward": "dense"}, True)):
        with robodesk(options, evaluation=evaluation, episode_steps=3) as env:
            assert check_environment(env) == 3


def test_training_starts_fill_upstreams_ranges_and_evaluations_start_in_their_middle(desk):
    names = ("drawer_joint", "slide_joint", "flat_block_x", "flat_block_y", "ball_x", "ball_y", "upright_block_x", "upright_block_y")
    low = np.array([-0.10, 0.0, 0.15, 0.63, -0.4, 0.7, 0.20, 0.78])
    high = np.array([0.0, 0.2, 0.45, 0.70, 0.08, 0.78, 0.50, 0.83])
    starts = []
    for seed in range(200):
        desk._begin(seed)
        starts.append([desk._state()[name] for name in names])
    starts = np.array(starts)
    assert (starts >= low - 1e-9).all()
    assert (starts <= high + 1e-9).all()
    assert (np.ptp(starts, axis=0) > 0.9 * (high - low)).all()
    assert (desk._simulation.data.qvel == 0).all()

    desk.pursue("lift_ball", evaluation=True)
    evaluated = [desk.reset(seed=seed)[1]["state"] for seed in range(3)]
    desk.pursue()
    assert evaluated[0] == evaluated[1] == evaluated[2]
    np.testing.assert_allclose([evaluated[0][name] for name in names], (low + high) / 2, atol=1e-9)


@pytest.mark.parametrize("image_size", [16, 120])
def test_the_agents_picture_has_any_size(image_size):
    with robodesk(image_size=image_size) as env:
        assert env.reset(seed=0)[0]["image"].shape == (image_size, image_size, 3)


@pytest.mark.parametrize("quality", ["full", "fast"])
def test_the_agents_picture_is_the_annotators_made_smaller_with_antialiasing(quality):
    with robodesk({"render_quality": quality}) as env:
        small, large = env.reset(seed=1)[0]["image"].astype(int), Image.fromarray(env.render_for_annotator())
        smooth, rough = (np.asarray(large.resize((64, 64), way), int) for way in (Image.Resampling.BOX, Image.Resampling.NEAREST))
        assert np.abs(small - smooth).mean() < 4
        assert np.abs(small - smooth).mean() < 0.7 * np.abs(small - rough).mean()
        assert smooth.std() > 20, "an empty picture proves nothing"


def test_quality_changes_shadows_and_edges_and_nothing_else():
    pictures = {}
    for quality in ("full", "fast"):
        with robodesk({"render_quality": quality}, evaluation=True) as env:
            env.reset(seed=0)
            pictures[quality] = env.render_for_annotator("top").astype(int)
    difference = np.abs(pictures["full"] - pictures["fast"]).max(2)
    assert difference.mean() > 1
    assert (difference < 128).mean() > 0.97


def test_every_view_shows_another_picture_and_a_kept_state_is_drawn_again(desk):
    desk.reset(seed=5)
    for action in random_actions(0, 3):
        *_, info = desk.step(action)
    kept = {name: np.float32(value) for name, value in info["state"].items()}
    views = {view: desk.render_for_annotator(view) for view in (*desk.annotator_views, "top")}
    assert np.array_equal(views["right"], desk.render_for_annotator())
    assert min(np.abs(views[a].astype(int) - views[b]).mean() for a, b in (("right", "left"), ("right", "top"), ("left", "top"))) > 20
    desk.reset(seed=6)
    now = desk.render_for_annotator().copy()
    for view, picture in views.items():
        assert np.abs(desk.render_state(kept, view).astype(int) - picture).mean() < 0.1
    assert np.array_equal(desk.render_for_annotator(), now), "drawing an old state changed the present one"
    assert np.abs(now.astype(int) - views["right"]).mean() > 1


def test_pictures_are_drawn_only_when_asked_for(desk, monkeypatch):
    drawn, draw = [], desk._renderer.draw
    monkeypatch.setattr(desk._renderer, "draw", lambda data, camera, size=224: drawn.append(size) or draw(data, camera, size))
    desk.reset(seed=0)
    desk.step(np.zeros(5))
    assert drawn == [128, 128]
    desk.render_for_annotator()
    desk.render_for_annotator()
    assert drawn == [128, 128, 224]


def test_unknown_names_are_errors_that_name_the_valid_ones(desk):
    desk.reset(seed=0)
    with pytest.raises(SenseiError, match="unknown camera: found behind, expected one of right, left, top"):
        desk.render_for_annotator("behind")
    with pytest.raises(SenseiError, match="found open_window, expected one of open_slide, .*open_drawer_light"):
        make(robodesk_config(tasks=["open_window"]), 64)
    with pytest.raises(SenseiError, match="found Kitchen, expected one of Robodesk"):
        make(robodesk_config(level="Kitchen"), 64)


@pytest.mark.parametrize("action", [np.zeros(4), np.zeros((1, 5)), np.full(5, 1.01), np.array([0, 0, np.nan, 0, 0]), [np.inf] * 5, 1])
def test_an_invalid_action_is_an_error_and_moves_nothing(desk, action):
    desk.reset(seed=0)
    before = desk._simulation.data.qpos.copy()
    with pytest.raises(SenseiError, match="expected finite numbers from -1 to 1"):
        desk.step(action)
    assert np.array_equal(desk._simulation.data.qpos, before)


@pytest.mark.parametrize(
    ("joint", "axis", "moved"),
    [("drawer_joint", 0, "drawer"), ("slide_joint", 0, "slide"), ("green_button", 0, "green_button"), ("flat_block", 2, "flat_block")]
    + [("ball", 1, "ball"), ("ball", 4, None), ("upright_block", 0, "upright_block"), ("upright_block", 5, None), ("red_light", 0, None)],
)
@pytest.mark.parametrize("speed", [-0.021, 0.019])
def test_an_entity_moves_above_two_centimetres_a_second_whatever_its_rotation(desk, joint, axis, moved, speed):
    desk._simulation.reset(None)
    desk._simulation.data.joint(joint).qvel[axis] = speed
    expected = {f"{moved}_moved"} if abs(speed) > 0.02 and moved else set()
    assert {name for name, happened in desk._readings.moved().items() if happened} == expected


def test_events_count_both_repeats_and_evaluations_pay_once(desk):
    solved = {"drawer_joint": [-0.25]}
    for evaluation, paid in ((False, [2, 2, 2]), (True, [1, 0, 0])):
        desk.pursue("open_drawer_medium", evaluation)
        desk.reset(seed=0)
        place(desk, **solved)
        steps = [desk.step(np.zeros(5)) for _ in range(3)]
        assert [reward for _, reward, *_ in steps] == paid
        assert [info["events"]["task_open_drawer_medium"] for *_, info in steps] == [2, 2, 2]
        assert [info["task_rewards"]["open_drawer"] for *_, info in steps] == paid
    desk.pursue()


@pytest.mark.parametrize(("position", "solved"), [(-0.09, ()), (-0.12, ("light",)), (-0.17, ("light", "medium"))])
def test_easier_drawers_need_less_opening(desk, position, solved):
    place(desk, drawer_joint=[position])
    rewards = {task for task, success in zip(TASKS, desk._rewards.successes(), strict=True) if success}
    assert {task for task in rewards if "drawer" in task} == {f"open_drawer_{name}" for name in solved}


@pytest.mark.parametrize(("original_positions", "paid"), [("views", 2), ("copies", 0)])
def test_pushing_one_block_off_the_table_while_another_moved(original_positions, paid):
    with robodesk({"original_positions": original_positions}, tasks=["upright_block_off_table"]) as env:
        env.reset(seed=0)
        env._simulation.data.joint("upright_block").qpos[:3] = (0.0, 0.3, 0.2)
        env._simulation.data.joint("ball").qpos[0] -= 0.05
        env._simulation.start(env._simulation.data.qpos.copy())
        assert env.step(np.zeros(5))[1] == paid


def test_positions_and_distances_of_the_state(desk):
    place(desk, drawer_joint=[-0.12], slide_joint=[0.3], ball=[0.1, 0.7, 0.8])
    state = desk._state()
    assert state["drawer_joint"] == -0.12
    assert [round(state[f"ball_{axis}"], 6) for axis in "xyz"] == [0.1, 0.7, 0.8]
    gripper = np.array([state[f"end_effector_{axis}"] for axis in "xyz"])
    places = {"ball": (0.1, 0.7, 0.8), "drawer_handle": (0, 0.529 - 0.12, 0.665), "slide_handle": (-0.3 + 0.3, 0.78, 0.935)}
    for name, position in places.items():
        assert state[f"distance_{name}"] == pytest.approx(np.linalg.norm(gripper - position), abs=1e-3)
    assert state["stacked"] == 0
    place(desk, flat_block=[0.3, 0.7, 0.775], upright_block=[0.3, 0.7, 0.8128, 0.7071, 0.7071, 0, 0])
    assert desk._state()["stacked"] == 1


@pytest.mark.parametrize("fault", [1e12, np.nan, np.inf])
def test_a_simulation_that_breaks_ends_the_episode_in_its_last_valid_state(desk, fault):
    _, info = desk.reset(seed=0)
    observation, *_, before = desk.step(np.ones(5))
    desk._simulation.data.qvel[desk._simulation.model.joint("ball").dofadr[0]] = fault
    broken, reward, terminated, truncated, info = desk.step(np.ones(5))
    assert (reward, terminated, truncated, info["unstable"]) == (0, False, True, True)
    assert info["events"]["unstable"] == 1
    assert info["state"] == before["state"]
    assert np.array_equal(broken["image"], observation["image"])
    assert not any(info["task_rewards"].values())
    first, _ = desk.reset(seed=0)
    assert np.isfinite(desk._simulation.data.qpos).all()
    assert np.array_equal(desk.step(np.ones(5))[0]["image"], observation["image"]), "the next episode feels the broken one"
    assert not np.array_equal(first["image"], observation["image"])


def play(env, seeds, actions):
    """Pictures and states of episodes of `actions` under `seeds`."""
    moments = []
    for seed in seeds:
        moments.append(env.reset(seed=seed))
        moments += [(step[0], step[4]) for step in map(env.step, actions)]
    return moments


def check_equal(first, second):
    for (left, left_info), (right, right_info) in zip(first, second, strict=True):
        assert np.array_equal(left["image"], right["image"])
        assert left_info == right_info


def test_one_seed_gives_one_episode_whatever_was_played_before(desk):
    actions = random_actions(2, 20)
    with robodesk() as other:
        play(other, [9], actions[:5])
        check_equal(play(desk, [3, 4], actions), play(other, [3, 4], actions))


@pytest.mark.slow
def test_two_environments_agree_for_500_steps():
    actions = random_actions(3, 250)
    with robodesk() as first, robodesk() as second:
        check_equal(play(first, [0, 1], actions), play(second, [0, 1], actions))


def test_a_worker_process_plays_what_this_process_plays(desk):
    actions = random_actions(4, 10)
    with VectorEnvironment(robodesk_config(), 64, 7, "test", 2) as vector:
        rows = [vector.reset(), *(vector.step(np.stack([action, -action])) for action in actions)]
    for worker, sign in ((0, 1), (1, -1)):
        seed = integer_seed(7, "test", "worker", worker, "episode", 0)
        for row, (observation, info) in zip(rows, play(desk, [seed], sign * actions), strict=True):
            assert np.array_equal(row["image"][worker], observation["image"])
            assert np.array_equal(row["state"][worker], np.array(list(info["state"].values()), np.float32))


@pytest.mark.slow
def test_worker_processes_agree_for_500_steps():
    rng = np.random.default_rng(0)
    with VectorEnvironment(robodesk_config(), 64, 1, "test", 1) as first, VectorEnvironment(robodesk_config(), 64, 1, "test", 1) as second:
        first.reset(), second.reset()
        for _ in range(501):
            action = rng.uniform(-1, 1, (1, 5)).astype(np.float32)
            left, right = first.step(action), second.step(action)
            assert all(np.array_equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("closed", ["env.close()", "del env", "pass"])
def test_the_interpreter_ends_without_a_word(closed):
    lines = ["import sys; sys.path.append('tests')", "from fakes.robodesk_upstream import robodesk_config"]
    lines += ["from sensei.envs.registry import make", "env = make(robodesk_config(), 64)", "env.reset(seed=0)", closed]
    command = [sys.executable, "-c", "\n".join(lines)]
    ended = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=environment()["PYTHONPATH"], check=False)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
