"""An environment made for real before the first job, in a process of its own: whatever it does there, hang included, it does to nobody."""

import os
import pickle
import subprocess
import sys
import zlib
from typing import NamedTuple

from sensei.core.errors import SenseiError, shortened
from sensei.core.faults import explained, signal_hint
from sensei.envs.contract import Environment
from sensei.envs.registry import make
from sensei.study.models.environment import EnvironmentConfig

SECONDS = 120.0  # until it counts as hanging; software OpenGL on a busy machine takes 20


class Seen(NamedTuple):
    """What an environment showed.

    state: after one step, key -> number, for oracles and prompts. image_bytes, annotator_bytes: of its pictures, compressed as episodes
    and frames are. shape: of the annotator's picture. flags: how many.
    """

    state: dict[str, float]
    image_bytes: int
    annotator_bytes: int
    shape: tuple[int, ...] = ()
    flags: int = 0


class Trial:
    """The making of an environment, begun: several may be under way at once.

    Args:
        config: its configuration.
        image_size: side of the agent's picture.
        views: names of the views that are asked for; all are drawn.
    """

    def __init__(self, config: EnvironmentConfig, image_size: int, views: tuple[str | None, ...] = (None,)):
        self._config = config
        command = [sys.executable, "-c", "from sensei.envs.trial import main; main()"]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path or os.getcwd() for path in sys.path), "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen(
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self._asked = pickle.dumps((config, image_size, views))

    def result(self) -> Seen:
        """Wait for it.

        Raises:
            SenseiError: it cannot be made (an unknown level, event or task), cannot draw, dies, or hangs; MachineError if that is this
                machine's fault.
        """
        what = f"environment {self._config.level} of family {self._config.family}"
        try:
            answer, _ = self._process.communicate(self._asked, SECONDS)
        except subprocess.TimeoutExpired:
            raise SenseiError(f"{what} does not start", found=f"no step within {SECONDS:g} s") from None
        finally:
            self.end()
        if not answer:
            status = self._process.returncode
            found, hint = (f"signal {-status}", signal_hint(-status)) if status < 0 else (f"exit status {status}", None)
            raise SenseiError(f"{what} ends its process", found=found, hint=hint)
        seen = pickle.loads(answer)
        if isinstance(seen, SenseiError):
            raise seen
        return seen

    def end(self) -> None:
        """End the process, if it has not ended."""
        self._process.kill()
        self._process.wait()


def look(env: Environment, views: tuple[str | None, ...]) -> Seen:
    """Take one step in an environment, for each task, and look at it from all `views`."""
    for task in env.config.tasks:
        env.pursue(task)
    env.action_space.seed(0)
    env.reset(seed=0)
    observation, *_, info = env.step(env.action_space.sample())
    drawn = [env.render_for_annotator(view) for view in views]
    image_bytes, *annotator_bytes = (len(zlib.compress(picture.tobytes())) for picture in (observation["image"], *drawn))
    return Seen(dict(info["state"]), image_bytes, max(annotator_bytes), drawn[0].shape, len(observation["flags"]))


def main() -> None:
    """Make the environment that comes in on standard input and answer, on what was standard output, with what was seen or the error."""
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the environment prints is no answer
    config, image_size, views = pickle.load(sys.stdin.buffer)
    seen: Seen | SenseiError
    try:
        env = make(config, image_size)
        seen = look(env, views)
        env.close()
    except Exception as error:
        what = f"environment {config.level} of family {config.family} raises {type(error).__name__}"
        seen = explained(error) or SenseiError(what, found=shortened(error))
    answer.write(pickle.dumps(seen))
    answer.close()
