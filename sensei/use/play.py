"""An agent at play, step by step."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import gymnasium
import numpy as np

from sensei.analysis.statistics import bootstrap_interval
from sensei.core.rng import generator, integer_seed, torch_generator
from sensei.use.agents import LoadedAgent


class Step(NamedTuple):
    """An observation, what came with it, and the action that the agent takes after it.

    Attributes:
        episode: its number, from 0 on.
        observation: "image" uint8 [H, W, 3] and "flags" float32 [n].
        reward: of the task; 0 at the first observation of an episode, as are the events.
        events: name -> how often at this step.
        first, last: whether an episode begins, or has ended.
        action: None after the last observation of an episode.
        info: all that the environment says.
    """

    episode: int
    observation: dict[str, np.ndarray]
    reward: float
    events: dict[str, float]
    first: bool
    last: bool
    action: int | np.ndarray | None
    info: dict[str, Any]


def play(
    agent: LoadedAgent, environment: gymnasium.Env | None = None, behaviour: str | None = None, episodes: int = 1, seed: int = 0
) -> Iterator[Step]:
    """Play episodes; one step for each observation. Equal seeds give equal episodes.

    Args:
        environment: where; by default one as the agent was trained in, which is closed at the end.
        behaviour: "explore" or "task"; by default the one it was trained to act with.

    Raises:
        SenseiError: the environment does not fit the agent, or it has no such behaviour.
    """
    agent.agent.act_as(behaviour or agent.behaviours[0])
    env = agent.environment() if environment is None else environment
    agent.check_spaces(env)
    try:
        for episode in range(episodes):
            yield from _episode(agent, env, episode, seed)
    finally:
        if environment is None:
            env.close()


def returns(agent: LoadedAgent, **options: Any) -> dict[str, Any]:
    """The return of each episode, their mean, and its 95 % bootstrap interval (None for a single episode); options as `play`."""
    scores: list[float] = []
    for step in play(agent, **options):
        scores += [0.0] if step.first else []
        scores[-1] += step.reward
    low, high = bootstrap_interval(np.array(scores)[None], generator(0, "returns")) if len(scores) > 1 else (None, None)
    return {"returns": scores, "mean": float(np.mean(scores)), "low": low, "high": high}


def _episode(agent: LoadedAgent, env: gymnasium.Env, episode: int, seed: int) -> Iterator[Step]:
    randomness = torch_generator(seed, "play", "actions", episode, device=getattr(agent.agent, "device", "cpu"))
    state = agent.agent.initial_policy_state(1)
    observation, info = env.reset(seed=integer_seed(seed, "play", "episode", episode))
    reward, first, last = 0.0, True, False
    while not last:
        # Copies, since torch warns of arrays that an environment lends read-only.
        rows = {name: np.array(value)[None] for name, value in observation.items()} | {"is_first": np.array([first])}
        actions, state = agent.agent.policy(rows, state, randomness)
        yield Step(episode, observation, reward, info.get("events", {}), first, last, actions[0], info)
        observation, reward, terminated, truncated, info = env.step(actions[0])
        first, last = False, terminated or truncated
    yield Step(episode, observation, reward, info.get("events", {}), first, last, None, info)
