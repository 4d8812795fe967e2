"""One environment in a process of its own; `environment.py` beside it starts it.

The worker lives as long as its pipe: it ends when the parent closes the pipe or dies in whatever way.
"""

import pickle
import signal
import traceback
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

import numpy as np

from sensei.core import stopping
from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed
from sensei.envs.contract import Environment
from sensei.envs.registry import make
from sensei.envs.step import row
from sensei.envs.vector.shared_memory import map_arrays
from sensei.study.models.environment import EnvironmentConfig

STEP, RESET, DONE = map(pickle.dumps, (("step",), ("reset",), None))  # the frequent messages, ready to send


class Task(NamedTuple):
    """What a worker is to run."""

    config: EnvironmentConfig
    image_size: int
    seed: int
    stream: str
    index: int
    task: str | None
    evaluation: bool


class Description(NamedTuple):
    """What the parent has to know of the environment."""

    action_space: Any
    sizes: dict[str, int]
    event_names: tuple[str, ...]
    state_names: tuple[str, ...]
    task_names: tuple[str, ...]


class Failure(NamedTuple):
    """Why a command failed: the error in one line and, unless it is a mistake of the user, where."""

    text: str
    traceback: str


class Worker:
    """Runs the episodes of one worker and writes each step into its row of the shared arrays."""

    def __init__(self, task: Task, env: Environment, arrays: dict[str, np.ndarray]):
        self._task, self._env, self._workers = task, env, len(next(iter(arrays.values())))
        self._row = {name: array[task.index : task.index + 1] for name, array in arrays.items()}

    def reset(self) -> None:
        """Begin the episode after the present one (the first is 0)."""
        self._begin(int(self._row["episode"][0]) + 1)

    def step(self) -> None:
        """Take the action in the shared row; after the last step of an episode, begin the next one instead."""
        if self._row["is_last"][0]:
            self.reset()
        else:
            self._step(self._row["action"][0])

    def restore(self, episode: int, actions: np.ndarray) -> None:
        """Begin episode `episode` and take all `actions` [T] or [T, d]."""
        self._env.draws = len(actions) == 0  # nobody sees the pictures on the way
        self._begin(episode)
        for number, action in enumerate(actions, 1):
            if self._row["is_last"][0]:
                found = f"end after {int(self._row['step'][0])} steps"
                raise SenseiError(f"episode {episode} of worker {self._task.index} cannot be replayed", found=found, expected=len(actions))
            self._env.draws = number == len(actions)
            self._step(action)

    def _begin(self, episode: int) -> None:
        task = self._task
        self._row["episode"][0], self._row["step"][0] = episode, 0
        seed = integer_seed(task.seed, task.stream, "worker", task.index, "episode", episode)
        observation, info = self._env.reset(seed=seed, options={"episode": episode, "workers": self._workers})
        self._write(row(observation, 0.0, info, first=True))

    def _step(self, action: np.ndarray) -> None:
        self._row["step"][0] += 1
        observation, reward, terminated, truncated, info = self._env.step(action)
        self._write(row(observation, reward, info, terminated=terminated, truncated=truncated))

    def _write(self, step: dict[str, Any]) -> None:
        for name, value in step.items():
            self._row[name][0] = value
        if "annotator_image" in self._row and self._env.draws:
            self._row["annotator_image"][0] = self._env.render_for_annotator()


def describe(env: Environment) -> Description:
    """What the parent has to know of `env`."""
    return Description(env.action_space, env.sizes, env.event_names, env.state_names, env.task_names)


def serve(connection: Connection, memory: int) -> None:
    """Make the environment, then obey (name of a Worker method, arguments) until the pipe closes; answer None or a Failure."""
    task: Task = connection.recv()
    try:
        env = make(task.config, task.image_size, task.task, task.evaluation)
        connection.send(describe(env))
        worker = Worker(task, env, map_arrays(memory, connection.recv()))
        while True:
            name, *arguments = connection.recv()
            getattr(worker, name)(*arguments)
            connection.send_bytes(DONE)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return
    except SenseiError as error:
        connection.send(Failure(str(error), ""))
    except Exception as error:  # reported by the parent, which knows seed, episode and step
        connection.send(Failure(f"{type(error).__name__}: {error}", traceback.format_exc()))


def main(pipe: int, memory: int) -> None:
    """Serve the parent behind the descriptor `pipe`."""
    # Ctrl-C and a scheduler's signals to stop reach the whole process group; the parent decides what happens then.
    for number in (signal.SIGINT, *stopping.SIGNALS):
        signal.signal(number, signal.SIG_IGN)
    serve(Connection(pipe), memory)
