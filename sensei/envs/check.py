"""The checker that every environment must pass."""

import contextlib
import io
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import numpy as np
from gymnasium.spaces import Box, Discrete

from sensei.core.errors import SenseiError, quoted
from sensei.envs.contract import Environment

SECONDS = 600.0
INFO = ("events", "state", "task_rewards")


def check_environment(env: Environment, seed: int = 0, seconds: float = SECONDS) -> int:
    """Play one episode of random actions twice and check the whole contract; the number of steps played.

    Checks spaces, dtypes and shapes of what comes back, names of events and state, the time-out, that one seed gives one episode, and
    that nothing is printed, where the output of several environments would mix.

    Args:
        seconds: after which it counts as hanging; found in the main thread alone, and not inside a library that never returns to Python.

    Raises:
        SenseiError: the first breach, with the key, what was found and what was expected.
    """
    level, printed = env.config.level, io.StringIO()
    with _no_longer_than(seconds, level), contextlib.redirect_stdout(printed):
        _check_spaces(env)
        _check_refusal(env)
        first, second = _random_episode(env, seed), _random_episode(env, seed)
    if text := printed.getvalue():
        raise SenseiError(f"{level}: standard output", found=quoted(text), expected="nothing", hint="use the module logging")
    if len(first) != len(second):
        raise SenseiError(f"{level}: episode length under seed {seed}", found=f"{len(first)} and {len(second)}", expected="equal")
    for step, (left, right) in enumerate(zip(first, second, strict=True)):
        for key in left:
            if not np.array_equal(left[key], right[key]):
                raise SenseiError(f"{level}: `{key}` at step {step}", found=f"two values under seed {seed}", expected="one")
    return len(first) - 1


@contextlib.contextmanager
def _no_longer_than(seconds: float, level: str) -> Iterator[None]:
    """End what is inside with an error when the time is up."""

    def up(number: int, frame: object) -> NoReturn:
        raise SenseiError(f"{level}: two episodes", found=f"no end within {seconds:g} s", expected="an environment that does not hang")

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGALRM, up)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _check_spaces(env: Environment) -> None:
    level, space = env.config.level, env.action_space
    box = isinstance(space, Box) and space.dtype == np.float32 and len(space.shape) == 1
    if not (isinstance(space, Discrete) and space.start == 0) and not (box and (space.low == -1).all() and (space.high == 1).all()):
        raise SenseiError(f"{level}: `action_space`", found=space, expected="Discrete(n) or Box(-1, 1, (d,), float32)")
    if set(env.observation_space.spaces) != {"image", "flags"}:
        raise SenseiError(f"{level}: `observation_space`", found=sorted(env.observation_space.spaces), expected="image and flags")
    if list(env.event_names) != env.config.events:
        raise SenseiError(f"{level}: `event_names`", found=env.event_names, expected=env.config.events)


def _check_refusal(env: Environment) -> None:
    found = "accepted"
    try:
        env.step(np.full(3, np.nan))
    except SenseiError:
        return
    except Exception as error:
        found = f"{type(error).__name__}: {error}"
    raise SenseiError(f"{env.config.level}: action [nan, nan, nan]", found=found, expected="a SenseiError")


def _random_episode(env: Environment, seed: int) -> list[dict[str, Any]]:
    """Moments of an episode of random actions under `seed`, each checked."""
    env.action_space.seed(seed)
    observation, info = _values(env, "reset()", 2, env.reset, seed=seed)
    moments, ended = [_moment(env, observation, 0.0, info)], False
    if any(info["events"].values()):
        raise SenseiError(f"{env.config.level}: `events` at reset", found=info["events"], expected="zeros")
    while not ended:
        observation, reward, terminated, truncated, info = _values(env, "step()", 5, env.step, env.action_space.sample())
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


def _called(env: Environment, what: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Any:
    """What a method returns; whatever else it raises is a breach."""
    try:
        return function(*arguments, **options)
    except SenseiError:
        raise
    except (Exception, SystemExit) as error:
        raise SenseiError(f"{env.config.level}: {what} raises {type(error).__name__}", found=quoted(str(error))) from error


def _values(env: Environment, what: str, number: int, function: Callable[..., Any], *arguments: Any, **options: Any) -> tuple[Any, ...]:
    """The `number` values that a method returns, the first an observation, the last an `info`, both of the right kind."""
    values = _called(env, what, function, *arguments, **options)
    if not isinstance(values, tuple) or len(values) != number or not (isinstance(values[0], dict) and isinstance(values[-1], dict)):
        raise SenseiError(f"{env.config.level}: {what}", found=quoted(values), expected=f"{number} values, observation first and info last")
    for content, keys, name in ((values[0], env.observation_space.spaces, "the observation"), (values[-1], INFO, "info")):
        if missing := [key for key in keys if key not in content]:
            raise SenseiError(f"{env.config.level}: {what}, {name}", found=", ".join(map(str, content)), expected=missing[0])
    return values


def _moment(env: Environment, observation: dict[str, Any], reward: float, info: dict[str, Any]) -> dict[str, Any]:
    """Everything that can be seen of one step, after checking it."""
    level, picture = env.config.level, _called(env, "render_for_annotator()", env.render_for_annotator)
    for key, space in env.observation_space.spaces.items():
        _check_array(f"{level}: `{key}`", observation[key], space.dtype, space.shape)
    _check_array(f"{level}: `render_for_annotator()`", picture, np.dtype(np.uint8), env.annotator_image_shape)
    if not _finite([reward]):
        raise SenseiError(f"{level}: `reward`", found=quoted(reward), expected="a finite number")
    for key, names in zip(INFO, (env.event_names, env.state_names, env.task_names), strict=True):
        if not isinstance(info[key], dict) or tuple(info[key]) != names or not _finite(info[key].values()):
            raise SenseiError(f"{level}: `{key}`", found=info[key], expected=f"finite numbers for {', '.join(names)}")
    moment = {**{key: value.copy() for key, value in observation.items()}, "annotator_image": picture.copy(), "reward": reward}
    return {**moment, **info["events"], **info["state"], **{f"task_rewards/{name}": value for name, value in info["task_rewards"].items()}}


def _check_array(what: str, value: Any, dtype: np.dtype, shape: tuple[int, ...]) -> None:
    if not isinstance(value, np.ndarray):
        raise SenseiError(what, found=quoted(value), expected=f"{dtype} {shape}")
    if value.dtype != dtype or value.shape != shape:
        raise SenseiError(what, found=f"{value.dtype} {value.shape}", expected=f"{dtype} {shape}")
    if not np.isfinite(value).all():
        raise SenseiError(what, found="nan or infinity", expected="finite numbers")


def _finite(values: Any) -> bool:
    try:
        return bool(np.isfinite(np.array(list(values), np.float64)).all())
    except (TypeError, ValueError):
        return False
