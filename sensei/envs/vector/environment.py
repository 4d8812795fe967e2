"""Environments side by side, one process each, their arrays in shared memory.

Workers are new interpreters, not forks: they import neither torch nor the caller's main module, which needs no
`if __name__ == "__main__"` guard. A step costs one short message to each worker and one back.
"""

import os
import pickle
import subprocess
import sys
import tempfile
import weakref
from collections.abc import Sequence
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any, NoReturn, Self

import numpy as np

from sensei.core.errors import SenseiError
from sensei.core.faults import signal_hint
from sensei.envs import step
from sensei.envs.contract import check_actions
from sensei.envs.registry import family
from sensei.envs.step import Has, Spec
from sensei.envs.vector.shared_memory import map_arrays
from sensei.envs.vector.worker import RESET, STEP, Description, Failure, Task
from sensei.study.models.environment import EnvironmentConfig

Rows = dict[str, np.ndarray]
COUNTERS = ("episode", "step")  # where each worker is; beside the fields of its step and the action, in the shared arrays
SECONDS_TO_END = 5.0


class VectorEnvironment:
    """`workers` copies of an environment that step together.

    `reset`, `step` and `restore` return rows, one per worker: every field of `sensei.envs.step` that environments yield, [W, ...], but
    annotator_image only if asked for; they are copies. The step after an `is_last` row ignores that worker's action, begins its next
    episode and returns its first row with reward 0. Episode k of worker w is seeded
    integer_seed(seed, stream, "worker", w, "episode", k).

    `annotator_images` None asks for the pictures only where the environment cannot draw a state again.

    Every method raises a SenseiError that names environment, seed, worker, episode and step where a worker fails or dies; all workers
    are ended then. `close`, a `with` block, garbage collection and the end of the parent end them too.
    """

    def __init__(
        self,
        config: EnvironmentConfig,
        image_size: int,
        seed: int,
        stream: str,
        workers: int,
        annotator_images: bool | None = False,
        task: str | None = None,
        evaluation: bool = False,
    ):
        self.config, self.seed, self.stream, self.workers = config, seed, stream, workers
        self._arrays: Rows = {}
        self._processes: list[subprocess.Popen] = []
        self._connections: list[Connection] = []
        self._busy: list[int] = []
        self._end = weakref.finalize(self, _end_workers, self._processes, self._connections)
        with tempfile.TemporaryFile() as memory:
            for index in range(workers):
                self._start(Task(config, image_size, seed, stream, index, task, evaluation), memory.fileno())
            descriptions = [self._receive(index) for index in range(workers)]
            self._adopt(descriptions[0])
            layout = self._layout(not family(config).renders_states if annotator_images is None else annotator_images)
            self._arrays = map_arrays(memory.fileno(), layout)
            self._arrays["episode"][:] = -1
            for index in range(workers):
                self._send(index, pickle.dumps(layout))

    @property
    def episodes(self) -> np.ndarray:
        """Number of the episode that each worker is in, int64 [W]; -1 before the first reset."""
        return self._arrays["episode"].copy()

    @property
    def episode_steps(self) -> np.ndarray:
        """Steps that each worker has taken in its episode, int64 [W]."""
        return self._arrays["step"].copy()

    def reset(self) -> Rows:
        """Begin the next episode of every worker; the first call begins episode 0."""
        return self._run([RESET] * self.workers)

    def step(self, actions: np.ndarray) -> Rows:
        """Take `actions`, integers [W] or float [W, d]; invalid ones raise a SenseiError before any environment moves."""
        self.step_async(actions)
        return self.step_wait()

    def step_async(self, actions: np.ndarray) -> None:
        """Begin to take `actions` as `step` does, and return while the workers are at it; `step_wait` must come next."""
        actions = check_actions(self.action_space, actions, (self.workers,))
        if (self._arrays["episode"] < 0).any():
            raise SenseiError(f"environment {self.config.level}: step() before reset()", hint="call reset() or restore() first")
        self._arrays["action"][...] = actions
        self._send_all([STEP] * self.workers)

    def step_wait(self) -> Rows:
        """The rows of the step under way."""
        return self._receive_all()

    def reset_finished(self) -> Rows:
        """Begin the next episode of every worker whose row is `is_last`; the rows of the others stay as they are.

        For users that want the first row of an episode within the step that ended the one before.
        """
        return self._run([RESET if is_last else None for is_last in self._arrays["is_last"]])

    def restore(self, episodes: Sequence[int], actions: Sequence[np.ndarray]) -> Rows:
        """Bring worker w into episode `episodes[w]` after all `actions[w]` ([T] or [T, d]), as if it had been stepped there.

        The actions of finished episodes are played to the end: the row is then `is_last` and the next step begins the next episode.
        """
        if not len(episodes) == len(actions) == self.workers:
            raise SenseiError("restore()", found=f"{len(episodes)} episodes and {len(actions)} action lists", expected=self.workers)
        checked = [check_actions(self.action_space, taken, (len(taken),)) if len(taken) else [] for taken in actions]
        commands = [("restore", int(episode), taken) for episode, taken in zip(episodes, checked, strict=True)]
        return self._run([pickle.dumps(command) for command in commands])

    def close(self) -> None:
        """End all workers; a second call does nothing."""
        self._end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _start(self, task: Task, memory: int) -> None:
        ours, theirs = Pipe()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "OMP_NUM_THREADS": "1"}
        command = [sys.executable, "-c", f"from sensei.envs.vector.worker import main; main({theirs.fileno()}, {memory})"]
        with theirs:
            process = subprocess.Popen(command, env=environment, pass_fds=(theirs.fileno(), memory), stdin=subprocess.DEVNULL, stdout=2)
        self._processes.append(process)
        self._connections.append(ours)
        self._send(task.index, pickle.dumps(task))

    def _adopt(self, description: Description) -> None:
        self.action_space, self._sizes = description.action_space, description.sizes
        self.image_shape, self.annotator_image_shape = (self.spec(Has.ENVIRONMENT)[name][0] for name in ("image", "annotator_image"))
        self.flags_size = self._sizes["flags"]
        self.event_names, self.state_names, self.task_names = description.event_names, description.state_names, description.task_names

    def spec(self, has: Has) -> Spec:
        """Shape and dtype, in one step of one worker, of the fields that `has` has."""
        return step.spec(has, self._sizes, self.action_space)

    def _layout(self, annotator_images: bool) -> Spec:
        row = self.spec(Has.ENVIRONMENT) | {"action": self.spec(Has.REPLAY)["action"]} | dict.fromkeys(COUNTERS, ((), np.dtype(np.int64)))
        asked = row.keys() if annotator_images else row.keys() - {"annotator_image"}
        return {name: ((self.workers, *shape), dtype) for name, (shape, dtype) in row.items() if name in asked}

    def _run(self, commands: list[bytes | None]) -> Rows:
        """Have each worker carry out its command, None for nothing to do; their rows when all are done."""
        self._send_all(commands)
        return self._receive_all()

    def _send_all(self, commands: list[bytes | None]) -> None:
        if not self._end.alive:
            raise SenseiError(f"environment {self.config.level}: the workers have been closed")
        assert not self._busy, "a step is under way"
        self._busy = [index for index, command in enumerate(commands) if command is not None]
        for index in self._busy:
            self._send(index, commands[index])

    def _receive_all(self) -> Rows:
        """Wait for all that are busy, copy the rows."""
        for index in self._busy:
            self._receive(index)
        self._busy = []
        return {name: array.copy() for name, array in self._arrays.items() if name not in ("action", *COUNTERS)}

    def _send(self, index: int, message: bytes) -> None:
        try:
            self._connections[index].send_bytes(message)
        except (BrokenPipeError, ConnectionResetError):
            self._fail(index, None)

    def _receive(self, index: int) -> Any:
        """The answer of a worker. The pipe of a dead one reads as ended at once, so this waits on the living only."""
        try:
            answer = self._connections[index].recv()
        except (EOFError, ConnectionResetError):
            self._fail(index, None)
        if isinstance(answer, Failure):
            self._fail(index, answer)
        return answer

    def _fail(self, index: int, failure: Failure | None) -> NoReturn:
        """End all workers and raise the error that says where worker `index` stopped."""
        where = f"seed {self.seed}, stream {self.stream}, worker {index}"
        if self._arrays and self._arrays["episode"][index] >= 0:
            where += f", episode {self._arrays['episode'][index]}, step {self._arrays['step'][index]}"
        if failure is None:
            status = _exit_status(self._processes[index])
            found, hint = (
                (status, "its last words, if any, are above") if isinstance(status, str) else (f"signal {status}", signal_hint(status))
            )
        else:
            found, hint = failure.text, None
            if failure.traceback:
                print(failure.traceback, file=sys.stderr)
        self.close()
        raise SenseiError(f"environment {self.config.level} stopped ({where})", found=found, hint=hint)


def _exit_status(process: subprocess.Popen) -> str | int:
    """How a process that has closed its pipe ended: the number of the signal, or words."""
    try:
        status = process.wait(SECONDS_TO_END)
    except subprocess.TimeoutExpired:
        return "a closed pipe"
    return -status if status < 0 else f"exit status {status}"


def _end_workers(processes: list[subprocess.Popen], connections: list[Connection]) -> None:
    """Close the pipes, at which workers end, and kill those that do not."""
    for connection in connections:
        connection.close()
    for process in processes:
        try:
            process.wait(SECONDS_TO_END)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
