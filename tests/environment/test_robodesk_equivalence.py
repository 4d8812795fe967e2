"""Robodesk against the unmodified package, side by side: starts, physics, rewards and pictures."""

import numpy as np
import pytest
from fakes.robodesk_upstream import Upstream, random_actions, robodesk

from sensei.envs.robodesk.events import joint_positions
from sensei.envs.robodesk.rendering import Renderer
from sensei.envs.robodesk.rewards import OPENINGS, TASKS, UPSTREAM_TASKS
from sensei.envs.robodesk.simulation import Simulation

# Positions that solve tasks, laid over the middle of the starts: of drawer and slide, of bodies, and a rotation.
SOLVED = {
    "nothing": {},
    "openings": {"drawer_joint": [-0.25], "slide_joint": [0.58]},
    "buttons": {"ball": [-0.45, 0.625, 0.826], "flat_block": [-0.25, 0.625, 0.801], "upright_block": [-0.05, 0.625, 0.876]},
    "off_table": {"ball": [0.0, 0.3, 0.1], "upright_block": [-0.2, 0.3, 0.1], "flat_block": [-0.5, 0.3, 0.1]},
    "bin": {"ball": [0.4, 0.55, 0.2], "upright_block": [0.38, 0.5, 0.22], "flat_block": [0.42, 0.6, 0.1]},
    "shelf": {"ball": [0.3, 1.03, 0.8], "upright_block": [0.4, 1.02, 0.85], "flat_block": [0.5, 1.02, 0.78]},
    "lifted": {"ball": [0.0, 0.7, 1.0], "upright_block": [0.2, 0.7, 1.1], "flat_block": [0.4, 0.7, 1.0]},
    "stack": {"flat_block": [0.3, 0.7, 0.775], "upright_block": [0.3, 0.7, 0.8128, 0.7071, 0.7071, 0, 0]},
}


@pytest.fixture(scope="module")
def upstream():
    game = Upstream()
    yield game
    game.env.physics.free()


def solved_start(simulation: Simulation, changes: dict[str, list[float]]) -> np.ndarray:
    simulation.reset(None)
    for joint, position in changes.items():
        simulation.data.joint(joint).qpos[: len(position)] = position
    return simulation.data.qpos.copy()


def test_starts_are_upstreams_for_the_same_draws(upstream):
    simulation = Simulation()
    for seed in range(5):
        np.random.seed(seed)  # noqa: NPY002, upstream draws from the global generator
        expected = upstream.begin()
        simulation.reset(np.random.RandomState(seed))
        np.testing.assert_allclose(simulation.data.qpos, expected, rtol=0, atol=1e-12)


def test_joint_positions_are_upstreams_over_200_random_actions(upstream):
    with robodesk() as env:
        simulation = env._simulation
        start = upstream.begin()
        simulation.start(start)
        for action in random_actions(0, 200):
            upstream.env.step(action.astype(np.float64))
            assert simulation.act(action)
            assert simulation.act(action)
            np.testing.assert_allclose(simulation.data.qpos, upstream.env.physics.data.qpos, rtol=0, atol=1e-9)
        assert np.abs(simulation.data.qpos - start).max() > 0.1, "nothing moved"


@pytest.mark.parametrize("kind", ["dense", "sparse", "success"])
def test_rewards_are_upstreams_in_every_task(upstream, kind):
    actions, paid = random_actions(1, 3), set()
    with robodesk({"reward": kind}) as env:
        for changes in SOLVED.values():
            start = solved_start(env._simulation, changes)
            env.reset(seed=0)
            env._simulation.start(start)
            env._rewards.begin()
            ours = [env.step(action)[4]["task_rewards"] for action in actions]
            for task in UPSTREAM_TASKS:
                expected = upstream.rewards(start, actions, task, kind)
                np.testing.assert_allclose([rewards[task] for rewards in ours], expected, rtol=0, atol=1e-9, err_msg=task)
                paid |= {task} if max(expected) > (1 if kind == "sparse" else 0) else set()
    assert paid == set(UPSTREAM_TASKS), "a task that is never solved here is not compared"


def test_the_list_of_tasks_is_upstreams_and_the_easier_openings(upstream):
    assert set(UPSTREAM_TASKS) == set(upstream.env.all_tasks)
    assert len(TASKS) == len(UPSTREAM_TASKS) + len(OPENINGS) == 21


def test_the_picture_of_the_top_camera_is_upstreams(upstream):
    theirs = []
    for seed in range(2):
        np.random.seed(seed)  # noqa: NPY002
        theirs.append((upstream.begin(), upstream.draw(resize=False)))  # before ours: dm_control misses that another context is current
    for start, picture in theirs:
        simulation = Simulation()
        simulation.start(start)
        renderer = Renderer(simulation.model, "full")
        ours = renderer.draw(simulation.data, "top", 120)
        renderer.close()
        assert 0 < np.abs(ours.astype(int) - picture).mean() < 1, "meshes are merged, so that 0 means one picture was compared with itself"
        assert picture.std() > 20, "an empty picture proves nothing"


def test_a_state_kept_in_32_bits_holds_the_joint_positions():
    with robodesk() as env:
        _, info = env.reset(seed=3)
        kept = {name: np.float32(value) for name, value in info["state"].items()}
        np.testing.assert_allclose(joint_positions(kept), env._simulation.data.qpos, rtol=1e-6, atol=1e-7)
