"""Pictures of stored states, for families that can draw any state again: nobody has to keep what can be drawn."""

from collections.abc import Iterator, Sequence
from multiprocessing import get_context

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.contract import Environment
from sensei.envs.registry import family, make
from sensei.study.models.environment import EnvironmentConfig

CHUNK = 16  # states in one message to a process
_drawing: list[tuple[Environment, Sequence[str], str | None]] = []  # in a drawing process: environment, keys of the states, view


def draw_states(
    config: EnvironmentConfig, states: np.ndarray, names: Sequence[str], view: str | None = None, processes: int = 1
) -> Iterator[np.ndarray]:
    """The pictures, uint8 [h, w, 3] each and in order, of `states` float32 [N, S] with keys `names` [S].

    Args:
        view: one of the family's `annotator_views`; by default the first.
        processes: that draw side by side, all of them beside this one: OpenGL's compiler and torch's do not always bear each other.

    Raises:
        SenseiError: this environment cannot draw a state again.
    """
    if not family(config).renders_states:
        raise SenseiError(f"environment {config.level} cannot draw a state again", hint="collect again, with pictures")
    with get_context("spawn").Pool(processes, _start, (config, names, view)) as pool:
        yield from pool.imap(_draw, states, CHUNK)


def _start(config: EnvironmentConfig, names: Sequence[str], view: str | None) -> None:
    _drawing.append((make(config, image_size=64), names, view))


def _draw(state: np.ndarray) -> np.ndarray:
    env, names, view = _drawing[0]
    return env.render_state(dict(zip(names, state.tolist(), strict=True)), view)
