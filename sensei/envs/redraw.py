"""Pictures of stored states, for environments that can draw any state again: nobody has to keep what can be drawn."""

from collections.abc import Iterator, Sequence
from multiprocessing import get_context

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.registry import make
from sensei.study.models.environment import EnvironmentConfig

CHUNK = 16  # states in one message to a process
_drawer: "list[Drawer]" = []  # of a drawing process


def draw_states(
    config: EnvironmentConfig, states: np.ndarray, names: Sequence[str], view: str | None = None, processes: int = 1
) -> Iterator[np.ndarray]:
    """The pictures, uint8 [h, w, 3] each and in order, of `states` float32 [N, S] with keys `names` [S].

    Args:
        view: one of the environment's `annotator_views`; by default the first.
        processes: that draw side by side, all of them beside this one: OpenGL's compiler and torch's do not always bear each other.

    Raises:
        SenseiError: this environment cannot draw a state again.
    """
    with get_context("spawn").Pool(processes, _start, (config, names, view)) as pool:
        yield from pool.imap(_draw, states, CHUNK)


class Drawer:
    """Draws one view of states, float32 [S] each."""

    def __init__(self, config: EnvironmentConfig, names: Sequence[str], view: str | None):
        self.env, self.names, self.view = make(config, image_size=64), names, view
        if not self.env.renders_states:
            raise SenseiError(f"environment {config.level} cannot draw a state again", hint="collect again, with pictures")

    def __call__(self, state: np.ndarray) -> np.ndarray:
        """The picture, uint8 [h, w, 3]."""
        return self.env.render_state(dict(zip(self.names, state.tolist(), strict=True)), self.view)


def _start(*arguments: object) -> None:
    _drawer.append(Drawer(*arguments))


def _draw(state: np.ndarray) -> np.ndarray:
    return _drawer[0](state)
