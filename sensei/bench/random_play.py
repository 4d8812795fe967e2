"""Steps of random play for benchmarks of world models, with the events that came with them."""

from pathlib import Path

import numpy as np

from sensei.agents.uniform import UniformActions
from sensei.core.progress import progress
from sensei.envs.step import Has
from sensei.envs.vector.environment import VectorEnvironment
from sensei.replay.buffer import Replay
from sensei.replay.step import Spaces, spaces_of
from sensei.study.models.study import Settings


def random_play(settings: Settings, steps: int, seed: int, stream: str, folder: Path) -> tuple[Replay, Spaces, tuple[str, ...]]:
    """Play at random and keep so many rows, first ones of episodes included.

    Args:
        seed, stream: fix the episodes and the actions; another stream has other episodes.
        folder: where the replay's arrays live.

    Returns:
        The replay, whose steps have the field `events` besides (float [events]), the spaces, and the names of the events.
    """
    config, training = settings.environment, settings.training
    with VectorEnvironment(config, settings.world_model.image_size, seed, stream, training.workers) as environments:
        spec = environments.spec(Has.REPLAY) | {"events": environments.spec(Has.ENVIRONMENT)["events"]}
        slack = config.episode_steps + 2
        replay = Replay(folder, spec, steps, training.workers, slack, training.flag_windows)
        actions, rows = UniformActions(spaces_of(environments), seed, stream), environments.reset()
        nothing = np.zeros(training.workers, np.float32)
        with progress(steps, f"random play, {stream}", "step") as bar:
            while len(replay) < steps // training.workers * training.workers:
                action = actions.sample(training.workers)
                replay.add({**rows, "action": action, "semantic": nothing}, discard=rows["is_unstable"])
                rows = environments.step(action)
                bar.update(training.workers)
        return replay, spaces_of(environments), environments.event_names


def windows(replay: Replay, length: int) -> dict[str, np.ndarray]:
    """All steps that are kept, in windows end to end: [windows, length, ...] of every field."""
    count = min(replay.counts)
    assert count <= replay.rows, "the ring has turned"
    whole = count // length * length
    return {name: array[:, :whole].reshape(-1, length, *array.shape[2:]) for name, array in replay.arrays.items()}
