"""Worker processes: the rows they give, replaying, and every way in which one can end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml
from helpers import environment

from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed
from sensei.envs.registry import make
from sensei.envs.vector.environment import VectorEnvironment
from sensei.study.models.environment import EnvironmentConfig

CONFIGS = Path(__file__).resolve().parent.parent.parent / "config" / "envs"


def config(name: str, **changes) -> EnvironmentConfig:
    return EnvironmentConfig(**{**yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["environment"], **changes})


def misbehaving(kind: str) -> EnvironmentConfig:
    events = ["environment_reward"]
    return EnvironmentConfig(family="pixels", level=f"fakes.misbehaving:{kind}-v0", tasks=["t"], title="T", episode_steps=9, events=events)


def expected_rows(settings: EnvironmentConfig, worker: int, actions: np.ndarray, image_size: int = 16) -> list[dict]:
    """What worker `worker` must report, from an environment in this process and the rules of the contract."""
    env, rows, episode, ended = make(settings, image_size), [], -1, True
    for action in [0, *actions]:
        if ended:
            episode += 1
            observation, info = env.reset(seed=integer_seed(5, "train", "worker", worker, "episode", episode))
            reward, terminated, truncated, first = 0.0, False, False, True
        else:
            (observation, reward, terminated, truncated, info), first = env.step(action), False
        ended = terminated or truncated
        row = {"is_first": first, "is_last": ended, "is_terminal": terminated, "reward": np.float32(reward), **observation}
        row |= {name: list(info[name].values()) for name in ("events", "state", "task_rewards")} | {"is_unstable": info["unstable"]}
        rows.append({**row, "annotator_image": env.render_for_annotator().copy()})
    env.close()
    return rows


@pytest.mark.parametrize("name", ["toy_counting", "minihack_keyroom_s5"])
def test_rows_are_those_of_single_environments(name):
    settings = config(name, episode_steps=15)
    rng = np.random.default_rng(0)
    with VectorEnvironment(settings, 16, seed=5, stream="train", workers=3, annotator_images=True) as vector:
        actions = rng.integers(vector.action_space.n, size=(60, 3))
        rows = [vector.reset(), *(vector.step(each) for each in actions)]
        assert vector.episodes.tolist() == [sum(row["is_first"][worker] for row in rows) - 1 for worker in range(3)]
    for worker in range(3):
        for step, wanted in enumerate(expected_rows(settings, worker, actions[:, worker])):
            for key, value in wanted.items():
                assert np.array_equal(rows[step][key][worker], np.asarray(value, rows[step][key].dtype)), (worker, step, key)
    assert any(row["is_terminal"].any() for row in rows) or name != "toy_counting"
    dtypes = {key: (value.dtype.name, value.shape[0]) for key, value in rows[0].items()}
    assert dtypes == {
        **dict.fromkeys(("flags", "reward", "events", "state", "task_rewards"), ("float32", 3)),
        **dict.fromkeys(("is_first", "is_last", "is_terminal", "is_unstable"), ("bool", 3)),
        **dict.fromkeys(("image", "annotator_image"), ("uint8", 3)),
    }


def test_rows_are_copies_and_annotator_images_come_only_if_asked():
    with VectorEnvironment(config("toy_counting"), 16, 0, "train", 2) as vector:
        assert (vector.image_shape, vector.flags_size, vector.annotator_image_shape) == ((16, 16, 3), 1, (32, 32, 3))
        assert (vector.event_names, vector.state_names) == (("odd_step", "environment_reward"), ("steps", "last_action", "seed"))
        first = vector.reset()
        before = {key: value.copy() for key, value in first.items()}
        vector.step(np.array([1, 2]))
        assert "annotator_image" not in first
        assert all(np.array_equal(first[key], before[key]) for key in first)


def test_seed_and_stream_choose_the_episodes():
    def start(seed: int, stream: str) -> tuple[float, ...]:
        with VectorEnvironment(config("toy_counting"), 16, seed, stream, 1) as vector:
            return tuple(vector.reset()["state"][0, 2] for _ in range(5))

    assert len({start(*key) for key in ((0, "train"), (1, "train"), (0, "evaluate"))}) == 3


@pytest.mark.parametrize("name", ["toy_counting", "minihack_keychest"])
def test_restore_continues_as_if_stepped(name):
    settings = config(name, episode_steps=15)
    rng = np.random.default_rng(1)
    with VectorEnvironment(settings, 16, 5, "train", 2, annotator_images=True) as vector:
        actions = rng.integers(vector.action_space.n, size=(40, 2))
        row, taken, saved = vector.reset(), [[], []], []
        for each in actions:
            saved.append((row, vector.episodes.tolist(), [np.array(of_worker, np.int64) for of_worker in taken]))
            assert vector.episode_steps.tolist() == [len(of_worker) for of_worker in taken]
            ended, row = row["is_last"], vector.step(each)
            taken = [[] if ended[worker] else [*taken[worker], each[worker]] for worker in range(2)]
        for start in (31, 0, 7, 15, 16):  # in the middle, at the beginning, at the last row and at the first row of an episode
            wanted, episodes, played = saved[start]
            given = vector.restore(episodes, played)
            for step in range(start, len(saved)):
                assert all(np.array_equal(given[key], saved[step][0][key]) for key in wanted), (start, step)
                given = vector.step(actions[step])


def test_a_step_in_two_halves_is_a_step():
    with (
        VectorEnvironment(config("toy_counting"), 16, 0, "train", 2) as whole,
        VectorEnvironment(config("toy_counting"), 16, 0, "train", 2) as vector,
    ):
        whole.reset(), vector.reset()
        for actions in np.random.default_rng(0).integers(3, size=(30, 2)):
            vector.step_async(actions)
            rows = vector.step_wait()
            assert all(np.array_equal(rows[key], value) for key, value in whole.step(actions).items())
        vector.step_async(actions)
        with pytest.raises(AssertionError, match="a step is under way"):
            vector.step_async(actions)


def test_box_actions():
    with VectorEnvironment(misbehaving("Slides"), 16, 0, "train", 2) as vector:
        vector.reset()
        assert vector.action_space.shape == (2,)
        assert vector.step(np.array([[1.0, 1.0], [-1.0, 0.0]]))["image"][:, 0, 0, 0].tolist() == [8, 2]
        rows = vector.restore([0, 3], [np.ones((2, 2), np.float32), np.zeros((0, 2), np.float32)])
        assert rows["image"][:, 0, 0, 0].tolist() == [16, 0]
        with pytest.raises(SenseiError, match=r"expected finite numbers from -1 to 1, shape \(2, 2\)"):
            vector.step(np.array([[0.0, np.nan], [0.0, 0.0]]))


def test_reset_finished_begins_the_next_episodes_and_leaves_the_others_alone():
    with VectorEnvironment(config("toy_counting"), 16, 0, "train", 4) as vector:
        row = vector.reset()
        while row["is_last"].all() or not row["is_last"].any():
            row = vector.step(np.zeros(4, np.int64))
        ended, episodes = row["is_last"], vector.episodes
        after = vector.reset_finished()
        assert after["is_first"].tolist() == ended.tolist()
        assert (vector.episodes - episodes).tolist() == ended.astype(int).tolist()
        assert all(np.array_equal(after[key][~ended], row[key][~ended]) for key in row)
        assert not vector.step(np.zeros(4, np.int64))["is_first"].any()


def test_restoring_more_actions_than_the_episode_has_is_an_error():
    with (
        VectorEnvironment(config("toy_counting"), 16, 0, "train", 1) as vector,
        pytest.raises(SenseiError, match="episode 2 of worker 0 cannot be replayed: found end after .* steps, expected 30"),
    ):
        vector.restore([2], [np.zeros(30, np.int64)])


def test_invalid_actions_name_the_range_and_move_nothing():
    with VectorEnvironment(config("toy_counting"), 16, 0, "train", 2) as vector:
        vector.reset()
        for actions in ([0, 3], [0], [0.5, 1.0], [np.nan, 0.0], [0, -1]):
            with pytest.raises(SenseiError, match=r"expected integers from 0 to 2, shape \(2,\)"):
                vector.step(np.array(actions))
        assert vector.step(np.array([0, 1]))["state"][:, 0].tolist() == [1, 1]


def test_using_it_too_early_or_too_late_is_an_error():
    vector = VectorEnvironment(config("toy_counting"), 16, 0, "train", 1)
    with pytest.raises(SenseiError, match="before reset"):
        vector.step(np.array([0]))
    vector.close()
    vector.close()
    with pytest.raises(SenseiError, match="closed"):
        vector.reset()


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("Raises", "ValueError: the simulator is on fire"),
        ("Exits", "exit status 3"),
        ("Dies", "signal 9\n.*memory"),
        ("Segfaults", "signal 11"),
        ("WritesToAFullDisk", "signal 7\n.*temporary folder .* is full"),
    ],
)
def test_a_worker_that_fails_is_an_error_that_says_where(kind, found):
    vector = VectorEnvironment(misbehaving(kind), 16, 4, "train", 2)
    vector.reset()
    processes = vector._processes
    start = time.monotonic()
    with pytest.raises(SenseiError, match=rf"{kind}-v0 stopped \(seed 4, stream train, worker 0, episode 1, step 3\): found {found}"):
        for _ in range(10):
            vector.step(np.zeros(2, np.int64))
    assert time.monotonic() - start < 5
    assert all(process.poll() is not None for process in processes), "the other workers are ended too"


def test_a_worker_killed_from_outside_is_an_error():
    vector = VectorEnvironment(config("minihack_keyroom_s5"), 16, 0, "train", 2)
    vector.reset()
    vector._processes[1].send_signal(signal.SIGKILL)
    with pytest.raises(SenseiError, match=r"KeyRoom-S5 stopped \(seed 0, stream train, worker 1, episode 0, step \d\): found signal 9"):
        for _ in range(3):
            vector.step(np.zeros(2, np.int64))


def test_an_unknown_level_is_the_same_clear_error_as_without_workers():
    with pytest.raises(SenseiError, match="found Nowhere, expected one of KeyRoom-S5, .*KeyRoom-S15, KeyChest"):
        VectorEnvironment(config("minihack_keyroom_s5", level="Nowhere"), 16, 0, "train", 2)


PARENT = """
import signal, sys, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # which a process begun in the background ignores
sys.path.append('..')
from test_vector import VectorEnvironment, config, misbehaving
import numpy as np
vector = VectorEnvironment(config("toy_counting"), 16, 0, "train", 2)
vector.reset()
print(*(process.pid for process in vector._processes), flush=True)
while True:
    vector.step(np.zeros(2, np.int64))
    time.sleep(0.01)
"""


def running(pid: int) -> bool:
    """Whether the process exists and is no zombie (Linux), or exists (elsewhere)."""
    try:
        os.kill(pid, 0)
        return "State:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not Path("/proc").exists()


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_its_parent(end):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        cwd=Path(__file__).parent,
        env=environment(),
    )
    workers = [int(pid) for pid in parent.stdout.readline().split()]
    assert len(workers) == 2
    parent.send_signal(end)
    assert parent.wait(10) != 0
    deadline = time.monotonic() + 5
    while any(map(running, workers)) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not any(map(running, workers))


def test_workers_ignore_the_signals_that_reach_the_whole_process_group():
    with VectorEnvironment(config("toy_counting"), 16, 0, "train", 2) as vector:
        vector.reset()
        for process in vector._processes:
            for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1):
                process.send_signal(number)
        assert vector.step(np.zeros(2, np.int64))["state"][:, 0].tolist() == [1, 1]


def test_nothing_is_left_after_closing():
    before = set(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else set()
    shared = set(os.listdir("/dev/shm")) if Path("/dev/shm").exists() else set()
    vector = VectorEnvironment(config("toy_counting"), 16, 0, "train", 2)
    vector.reset()
    processes = vector._processes
    del vector
    assert all(process.poll() == 0 for process in processes), "garbage collection closes it as well"
    if before:
        assert len(os.listdir("/proc/self/fd")) <= len(before)
    if shared:
        assert not set(os.listdir("/dev/shm")) - shared


def test_workers_do_not_import_torch():
    program = """
import sys, sensei.envs.vector.worker, sensei.envs.minihack.minihack, sensei.envs.toy
print("torch" in sys.modules)
"""
    run = subprocess.run([sys.executable, "-c", program], check=True, env=environment(), capture_output=True, text=True)
    assert run.stdout == "False\n"
