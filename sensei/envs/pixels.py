"""Any Gymnasium environment that has pixels, as its observation or by rendering, behind the contract."""

import importlib
import numbers
import sys
from collections.abc import Mapping
from typing import Any

import gymnasium
import numpy as np
from gymnasium.envs.registration import EnvSpec
from gymnasium.spaces import Box, Discrete
from gymnasium.wrappers import RescaleAction
from PIL import Image

from sensei.core.errors import SenseiError
from sensei.envs.contract import Environment, Outcome
from sensei.envs.opengl import choose_backend, without_display
from sensei.study.models.environment import EnvironmentConfig


class PixelEnvironment(Environment):
    """The Gymnasium environment whose id is `config.level`; "module:Id-v0" imports the module that registers it first, and
    "module:Class" is a class that nobody registered.

    The picture is the observation where that is one, else `render()`; the agent sees it resized by area averaging, annotators see it
    whole. Box actions are rescaled to [-1, 1]. No flags. Events: the environment's reward, and the numbers its own `info["events"]` holds
    (at the reset already, where they are made known). State: the numbers of `info["state"]`, else those of `info` itself, at the reset
    already, and those of an observation that is a vector, `observation_0` and so on; no class ranks them, a function of the user's may.
    """

    def __init__(self, config: EnvironmentConfig, image_size: int):
        self._inner = _make(config)
        self._observed = _is_picture(self._inner.observation_space)
        self._shape: tuple[int, ...] | None = None
        observation, info = self._inner.reset(seed=0)
        self._see(observation, info)
        super().__init__(
            config,
            image_size,
            action_space=self._inner.action_space,
            known_events=info.get("events", {}),
            state_names=self._seen,
            annotator_image_shape=self._shape,
        )

    def _begin(self, seed: int) -> None:
        self._see(*self._inner.reset(seed=seed % 2**31))  # many environments accept no more than 31 bits

    def _advance(self, action: int | np.ndarray) -> Outcome:
        observation, reward, terminated, truncated, info = self._inner.step(action)
        self._see(observation, info)
        return Outcome(float(reward), bool(terminated), bool(truncated), info.get("events", {}))

    def _see(self, observation: Any, info: dict[str, Any]) -> None:
        """Take in the frame and the state now."""
        self._frame, self._seen = self._read(observation), _numbers(info.get("state", info))
        if not self._observed and isinstance(observation, np.ndarray) and observation.ndim == 1:
            self._seen |= {f"observation_{index}": float(value) for index, value in enumerate(observation)}

    def _read(self, observation: Any) -> np.ndarray:
        """The frame now, uint8 [h, w, 3]; its shape never changes."""
        frame = np.asarray(observation if self._observed else self._inner.render())
        expected = self._shape or (*frame.shape[:2], 3)
        if frame.dtype != np.uint8 or frame.shape != expected:
            raise SenseiError(f"picture of {self._inner.spec.id}", found=f"{frame.dtype} {frame.shape}", expected=f"uint8 {expected}")
        self._shape = expected
        return frame.copy()

    def _image(self) -> np.ndarray:
        size = self.observation_space["image"].shape[:2]
        if self._frame.shape[:2] == size:
            return self._frame
        return np.asarray(Image.fromarray(self._frame).resize(size, Image.Resampling.BOX))

    def _state(self) -> dict[str, float]:
        return {name: self._seen.get(name, np.nan) for name in self.state_names}

    def render_for_annotator(self, view: str | None = None) -> np.ndarray:
        """The whole frame."""
        return self._frame

    def close(self) -> None:
        """Close the environment inside."""
        self._inner.close()


def _numbers(info: Any) -> dict[str, float]:
    """The numbers of a mapping, by their names; of anything else none."""
    named = info.items() if isinstance(info, Mapping) else ()
    return {name: float(value) for name, value in named if isinstance(name, str) and isinstance(value, numbers.Real | np.bool_)}


def _is_picture(space: gymnasium.Space) -> bool:
    return isinstance(space, Box) and space.dtype == np.uint8 and len(space.shape) == 3 and space.shape[2] == 3


def _make(config: EnvironmentConfig) -> gymnasium.Env:
    """The environment inside, with actions that the contract allows and a picture.

    Raises:
        SenseiError: unknown id, missing package, no pixels, or actions that are neither Discrete nor a bounded vector.
    """
    env = _gymnasium_make(config)
    if not _is_picture(env.observation_space):
        if "rgb_array" not in env.metadata.get("render_modes", []):
            found = f"observations {env.observation_space} and render modes {env.metadata.get('render_modes', [])}"
            raise SenseiError(f"environment {config.level} has no pixels", found=found, expected="uint8 [h, w, 3] or render mode rgb_array")
        env.close()
        without_display()
        if "mujoco" in sys.modules:  # Gymnasium asks for the library when it first draws
            choose_backend()
        env = _gymnasium_make(config, render_mode="rgb_array")
    space = env.action_space
    if isinstance(space, Discrete) and space.start == 0:
        return env
    if isinstance(space, Box) and len(space.shape) == 1 and space.is_bounded():
        return RescaleAction(env, np.float32(-1), np.float32(1))
    raise SenseiError(
        f"actions of environment {config.level}", found=space, expected="Discrete from 0 on, or a bounded Box of one dimension"
    )


def _gymnasium_make(config: EnvironmentConfig, **options: str) -> gymnasium.Env:
    try:
        return gymnasium.make(_spec(config.level), max_episode_steps=config.episode_steps, disable_env_checker=True, **options)
    except (gymnasium.error.Error, ImportError, TypeError) as error:
        raise SenseiError(f"cannot make the Gymnasium environment {config.level}", found=error, hint="is its package installed?") from error


def _spec(level: str) -> str | EnvSpec:
    """What Gymnasium makes: a registered id, or the class that "module:Class" names."""
    module, _, name = level.partition(":")
    named = getattr(importlib.import_module(module), name, None) if name else None
    return EnvSpec(name, entry_point=level) if isinstance(named, type) else level
