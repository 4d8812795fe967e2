"""The checker that every environment must pass."""

from typing import Any

import numpy as np
from gymnasium.spaces import Box, Discrete

from sensei.core.errors import SenseiError
from sensei.envs.contract import Environment, Observation


def check_environment(env: Environment, seed: int = 0) -> int:
    """Play one episode of random actions twice and check the whole contract; the number of steps played.

    Checks spaces, dtypes and shapes of what comes back, names of events and state, the time-out, and that one seed gives one episode.

    Raises:
        SenseiError: the first breach, with the key, what was found and what was expected.
    """
    _check_spaces(env)
    try:
        env.step(np.full(3, np.nan))
    except SenseiError:
        pass
    else:
        raise SenseiError(f"{env.config.level}: action [nan, nan, nan]", found="accepted", expected="a SenseiError")
    first, second = _random_episode(env, seed), _random_episode(env, seed)
    if len(first) != len(second):
        raise SenseiError(
            f"{env.config.level}: episode length under seed {seed}", found=f"{len(first)} and {len(second)}", expected="equal"
        )
    for step, (left, right) in enumerate(zip(first, second, strict=True)):
        for key in left:
            if not np.array_equal(left[key], right[key]):
                raise SenseiError(f"{env.config.level}: `{key}` at step {step}", found=f"two values under seed {seed}", expected="one")
    return len(first) - 1


def _check_spaces(env: Environment) -> None:
    level, space = env.config.level, env.action_space
    box = isinstance(space, Box) and space.dtype == np.float32 and len(space.shape) == 1
    if not (isinstance(space, Discrete) and space.start == 0) and not (box and (space.low == -1).all() and (space.high == 1).all()):
        raise SenseiError(f"{level}: `action_space`", found=space, expected="Discrete(n) or Box(-1, 1, (d,), float32)")
    if set(env.observation_space.spaces) != {"image", "flags"}:
        raise SenseiError(f"{level}: `observation_space`", found=sorted(env.observation_space.spaces), expected="image and flags")
    if list(env.event_names) != env.config.events:
        raise SenseiError(f"{level}: `event_names`", found=env.event_names, expected=env.config.events)


def _random_episode(env: Environment, seed: int) -> list[dict[str, Any]]:
    """Moments of an episode of random actions under `seed`, each checked."""
    env.action_space.seed(seed)
    observation, info = env.reset(seed=seed)
    if any(info["events"].values()):
        raise SenseiError(f"{env.config.level}: `events` at reset", found=info["events"], expected="zeros")
    moments, ended = [_moment(env, observation, 0.0, info)], False
    while not ended:
        observation, reward, terminated, truncated, info = env.step(env.action_space.sample())
        moments.append(_moment(env, observation, reward, info))
        late, ended = len(moments) - 1 >= env.config.episode_steps, terminated or truncated
        if (terminated and truncated) or (late and not ended):
            found = f"terminated={terminated}, truncated={truncated} at step {len(moments) - 1}"
            raise SenseiError(
                f"{env.config.level}: end of the episode",
                found=found,
                expected=f"truncated at {env.config.episode_steps} or terminated before",
            )
    return moments


def _moment(env: Environment, observation: Observation, reward: float, info: dict[str, Any]) -> dict[str, Any]:
    """Everything that can be seen of one step, after checking it."""
    level, picture = env.config.level, env.render_for_annotator()
    for key, space in env.observation_space.spaces.items():
        value = observation[key]
        if value.dtype != space.dtype or value.shape != space.shape:
            raise SenseiError(f"{level}: `{key}`", found=f"{value.dtype} {value.shape}", expected=f"{space.dtype} {space.shape}")
    if picture.dtype != np.uint8 or picture.shape != env.annotator_image_shape:
        expected = f"uint8 {env.annotator_image_shape}"
        raise SenseiError(f"{level}: `render_for_annotator()`", found=f"{picture.dtype} {picture.shape}", expected=expected)
    if not np.isfinite(reward):
        raise SenseiError(f"{level}: `reward`", found=reward, expected="a finite number")
    for key, names in (("events", env.event_names), ("state", env.state_names), ("task_rewards", env.task_names)):
        if tuple(info[key]) != names or not np.isfinite(list(info[key].values())).all():
            raise SenseiError(f"{level}: `{key}`", found=info[key], expected=f"finite numbers for {', '.join(names)}")
    moment = {**{key: value.copy() for key, value in observation.items()}, "annotator_image": picture.copy(), "reward": reward}
    return {**moment, **info["events"], **info["state"], **{f"task_rewards/{name}": value for name, value in info["task_rewards"].items()}}
