"""Agent steps a second of an environment, in one and in two processes; Robodesk also beside the package it is built on."""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Annotated, Any

import numpy as np
import typer

from sensei.bench.measure import Json, emit, machine
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.environment import EnvironmentConfig

IMAGE_SIZE = 64
RATIOS = (
    ("two workers", "one worker"),
    ("fast, two workers", "fast, one worker"),
    ("full, two workers", "full, one worker"),
    ("fast, one worker", "robodesk package"),
    ("full, one worker", "robodesk package"),
)
Step = Callable[[], int]  # takes a step and returns the number of environments that took it


def environment(
    name: Annotated[str, typer.Option("--env", help="a file of config/envs, e.g. robodesk")],
    seconds: Annotated[float, typer.Option(help="time for each contender in each round")] = 2.0,
    rounds: Annotated[int, typer.Option(help="rounds, in each of which every contender has its turn")] = 5,
    json: Json = None,
) -> None:
    """Agent steps a second with one 64x64 picture a step, random actions, in one and in two worker processes: the best of all rounds."""
    path = CONFIG_FOLDER / "envs" / f"{name}.yaml"
    if not path.exists():
        known = sorted(file.stem for file in path.parent.glob("*.yaml"))
        raise SenseiError("unknown environment", found=name, expected=f"one of {', '.join(known)}")
    config = EnvironmentConfig(**read_yaml(path)["environment"])
    with ExitStack() as stack:
        contenders = {key: stack.enter_context(contender) for key, contender in _contenders(config).items()}
        speeds = {key: [] for key in contenders}
        for _ in range(rounds):
            for key, step in contenders.items():
                speeds[key].append(_speed(step, seconds))
    best = {key: max(measured) for key, measured in speeds.items()}
    result = {
        "environment": name,
        "steps_per_second": best,
        "steps_per_second_median": {key: float(np.median(measured)) for key, measured in speeds.items()},
        "ratios": {f"{key} / {other}": best[key] / best[other] for key, other in RATIOS if key in best and other in best},
        "machine": machine(),
    }
    emit(result, json)


def _contenders(config: EnvironmentConfig) -> dict[str, Any]:
    """Context managers of a Step by name."""
    workers = {"one worker": 1, "two workers": 2}
    if config.family != "robodesk":
        return {name: _ours(config, number) for name, number in workers.items()}
    qualities = {q: config.model_copy(update={"options": {"render_quality": q}}) for q in ("fast", "full")}
    ours = {f"{q}, {name}": _ours(changed, number) for q, changed in qualities.items() for name, number in workers.items()}
    return {"robodesk package": _robodesk_package(), **ours}


@contextmanager
def _ours(config: EnvironmentConfig, workers: int) -> Iterator[Step]:
    from sensei.envs.vector.environment import VectorEnvironment

    with VectorEnvironment(config, IMAGE_SIZE, 0, "bench", workers) as vector:
        vector.action_space.seed(0)
        vector.reset()

        def step() -> int:
            vector.step(np.stack([vector.action_space.sample() for _ in range(workers)]))
            return workers

        yield step


@contextmanager
def _robodesk_package() -> Iterator[Step]:
    """The unmodified package in this process, two simulator actions an agent step."""
    from PIL import Image

    from sensei.envs.robodesk.simulation import RoboDesk

    Image.ANTIALIAS = Image.Resampling.LANCZOS  # gone since Pillow 10
    env = RoboDesk(action_repeat=2, image_size=IMAGE_SIZE)
    env.reset()
    rng = np.random.default_rng(0)

    def step() -> int:
        if env.step(rng.uniform(-1, 1, 5))[2]:
            env.reset()
        return 1

    try:
        yield step
    finally:
        env.physics.free()


def _speed(step: Step, seconds: float) -> float:
    """Steps a second of all environments together; one step goes unmeasured."""
    step()
    steps, begin = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - begin) < seconds:
        steps += step()
    return steps / elapsed
