"""What an environment gives a study, and what each thing that it lacks costs; said before a study is written."""

import time
from collections.abc import Iterator
from typing import NamedTuple

from sensei.core.errors import SenseiError
from sensei.envs.check import check_environment
from sensei.envs.contract import Environment
from sensei.envs.registry import family, make
from sensei.envs.trial import Trial
from sensei.study.models.environment import EnvironmentConfig

RUN_STEPS = 500_000  # of the paper's exploration runs, for a speed that says something
LEAST_PICTURE = 52  # pixels that the reward model's convolutions need
SECONDS = 2.0  # for which random actions are timed


class Finding(NamedTuple):
    """One thing about an environment.

    Attributes:
        what: it is about.
        found: in words.
        cost: what a study has to do without, and what would mend it; empty if nothing.
    """

    what: str
    found: str
    cost: str = ""


def survey(config: EnvironmentConfig, image_size: int) -> Iterator[Finding]:
    """Make an environment, in a process of its own first, and play it: a finding for each thing that a study may want of it.

    Raises:
        SenseiError: it cannot be used: it cannot be made, dies, hangs or breaks the contract (`check_environment`).
    """
    seen = Trial(config, image_size).result()
    yield Finding("process", "made, stepped and drawn in a process of its own, as workers are")
    env = make(config, image_size)
    try:
        yield _picture(env, image_size)
        yield Finding("actions", str(env.action_space))
        yield _flags(env)
        yield _events(env)
        yield _oracle(config, seen.state)
        steps = check_environment(env)
        yield Finding("contract", f"an episode of {steps} random steps, played twice: equal under one seed, and all as promised")
        yield _speed(env)
    finally:
        env.close()


def _picture(env: Environment, image_size: int) -> Finding:
    height, width, _ = env.annotator_image_shape
    small = min(height, width) < LEAST_PICTURE
    cost = f"no reward model, which needs {LEAST_PICTURE} x {LEAST_PICTURE} pixels: draw larger pictures" if small else ""
    return Finding("picture", f"annotators see {height} x {width} pixels, the agent {image_size} x {image_size}", cost)


def _flags(env: Environment) -> Finding:
    number = env.observation_space["flags"].shape[0]
    return Finding("flags", f"{number}", "" if number else "agent and reward model know what the picture shows, and nothing else")


def _events(env: Environment) -> Finding:
    alone = env.event_names == ("environment_reward",)
    cost = 'figures count rewards alone: put info["events"] = {"name": number} into every reset and step, and name them in the YAML'
    return Finding("events", ", ".join(env.event_names), cost if alone else "")


def _oracle(config: EnvironmentConfig, state: dict[str, float]) -> Finding:
    if family(config).can_rank(state):
        return Finding("oracle", "ranks states, so that labels cost nothing")
    own = "a function of yours that ranks it (kind: function_oracle), " if state else ""
    cost = f"{own}labels from an annotator that looks at pictures, or methods without a semantic reward"
    return Finding("oracle", "none for its state" if state else "no state", cost)


def _speed(env: Environment) -> Finding:
    env.action_space.seed(0)
    env.reset(seed=0)
    steps, begun = 0, time.perf_counter()
    while (seconds := time.perf_counter() - begun) < SECONDS:
        *_, terminated, truncated, _ = env.step(env.action_space.sample())
        steps += 1
        if terminated or truncated:
            env.reset()
    rate = steps / seconds
    return Finding(
        "speed", f"{rate:,.0f} steps a second in one process: {RUN_STEPS:,} take {RUN_STEPS / rate / 3600:.1f} hours of one core"
    )


def described(name: str) -> EnvironmentConfig:
    """A configuration of an environment that has no YAML yet.

    Args:
        name: a Gymnasium id, "module:Id-v0", or "module:Class" of a `gymnasium.Env` or of a family of one's own.

    Raises:
        SenseiError: Gymnasium does not know it, or it lacks what only a YAML can say.
    """
    about = {"level": name, "tasks": ["task"], "title": name, "episode_steps": 1_000, "events": ["environment_reward"]}
    try:
        own = EnvironmentConfig(family=name, **about)
        family(own)
        return own
    except (SenseiError, ValueError):
        return EnvironmentConfig(family="pixels", **about)
