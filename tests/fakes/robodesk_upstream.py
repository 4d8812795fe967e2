"""The unmodified robodesk package for side-by-side tests, and a fast Robodesk of ours."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import yaml
from helpers import ROOT
from PIL import Image

from sensei.envs.registry import make
from sensei.envs.robodesk.robodesk import RobodeskEnvironment
from sensei.envs.robodesk.simulation import RoboDesk
from sensei.study.models.environment import EnvironmentConfig

if not hasattr(Image, "ANTIALIAS"):  # gone since Pillow 10; the package asks for it when it draws
    Image.ANTIALIAS = Image.Resampling.LANCZOS


def robodesk_config(options: dict | None = None, **changes) -> EnvironmentConfig:
    """config/envs/robodesk.yaml, drawn fast unless `options` say otherwise."""
    given = yaml.safe_load((ROOT / "config" / "envs" / "robodesk.yaml").read_text(encoding="utf-8"))["environment"]
    return EnvironmentConfig(**{**given, "options": {"render_quality": "fast", **(options or {})}, **changes})


@contextmanager
def robodesk(options: dict | None = None, image_size: int = 64, evaluation: bool = False, **changes) -> Iterator[RobodeskEnvironment]:
    """A Robodesk of ours, closed afterwards."""
    env = make(robodesk_config(options, **changes), image_size, evaluation=evaluation)
    try:
        yield env
    finally:
        env.close()


class Upstream:
    """RoboDesk as published, two simulator actions an agent step; draws only when asked to, since a picture takes it 0.4 seconds."""

    def __init__(self):
        self.env = RoboDesk(action_repeat=2)
        self.draw, self.env.render = self.env.render, lambda **_: None

    def begin(self, qpos: np.ndarray | None = None) -> np.ndarray:
        """Start at upstream's random positions, or at rest at `qpos`; the joint positions [nq]."""
        self.env.reset()
        if qpos is not None:
            self.env.physics.data.qpos[:] = qpos
            self.env.physics.forward()
            self.env.physics_copy.data.qpos[:] = qpos
        return self.env.physics.data.qpos.copy()

    def rewards(self, qpos: np.ndarray, actions: Iterable[np.ndarray], task: str, kind: str) -> list[float]:
        """Rewards of `actions` [T, 5] from `qpos`."""
        self.env.task, self.env.reward = task, kind
        self.begin(qpos)
        return [float(np.ravel(self.env.step(action.astype(np.float64))[1])[0]) for action in actions]


def random_actions(seed: int, number: int) -> np.ndarray:
    """Actions float32 [number, 5] from -1 to 1."""
    return np.random.default_rng(seed).uniform(-1, 1, (number, 5)).astype(np.float32)
