"""Pictures of stored states, for environments that can draw any state again: nobody has to keep what can be drawn."""

from collections.abc import Iterator, Sequence
from multiprocessing import get_context

import numpy as np

from sensei.config import EnvironmentConfig
from sensei.envs.contract import Environment
from sensei.envs.registry import make
from sensei.errors import SenseiError

CHUNK = 16  # states in one message to a process
_process: "tuple[Environment, Sequence[str]]"  # of a drawing process


def draw_states(
    config: EnvironmentConfig, states: np.ndarray, names: Sequence[str], view: str | None = None, processes: int = 1
) -> Iterator[np.ndarray]:
    """The pictures, uint8 [h, w, 3] each and in order, of `states` float32 [N, S] with keys `names` [S].

    Args:
        view: one of the environment's `annotator_views`; by default the first.
        processes: that draw side by side; one draws in this process.

    Raises:
        SenseiError: this environment cannot draw a state again.
    """
    if processes == 1:
        _open(config, names)
        yield from map(_draw, ((state, view) for state in states))
        return
    with get_context("spawn").Pool(processes, _open, (config, names)) as pool:
        yield from pool.imap(_draw, ((state, view) for state in states), CHUNK)


def _open(config: EnvironmentConfig, names: Sequence[str]) -> None:
    global _process
    env = make(config, image_size=64)
    if not env.renders_states:
        raise SenseiError(f"environment {config.level} cannot draw a state again", hint="collect again, with pictures")
    _process = env, names


def _draw(question: tuple[np.ndarray, str | None]) -> np.ndarray:
    (env, names), (state, view) = _process, question
    return env.render_state(dict(zip(names, state.tolist(), strict=True)), view)
