"""The whole loop on a real environment: steps and updates a second, and which part of a turn the time goes to."""

import contextlib
import multiprocessing
import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from sensei.bench.measure import Json, emit, machine
from sensei.bench.studies import resolve
from sensei.core.process import keep_memory, limit_threads
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.models.study import Study

WARM_UPDATES = 8  # on a card a graph is made meanwhile
ENVIRONMENTS = "environment processes"


def loop(
    environment: Annotated[str, typer.Option("--env", help="a file of config/envs")] = "minihack_keyroom_s15",
    method: Annotated[str, typer.Option(help="a method that explores, a file of config/methods")] = "sensei",
    study: Annotated[Path, typer.Option(help="study file that the settings are taken from")] = CONFIG_FOLDER / "config.yaml",
    size: Annotated[str | None, typer.Option(help="size of the world model; by default the study's")] = None,
    image_size: Annotated[int | None, typer.Option(help="side of the pictures; by default the study's")] = None,
    workers: Annotated[int | None, typer.Option(help="environments side by side; by default the study's")] = None,
    train_ratio: Annotated[float | None, typer.Option(help="replayed steps per agent step; by default the study's")] = None,
    prefill: Annotated[int | None, typer.Option(help="random steps before the first update; by default the study's")] = None,
    steps: Annotated[int, typer.Option(help="agent steps to measure, twice: for the rates, and for the parts")] = 1000,
    threads: Annotated[int, typer.Option(help="CPU threads of a run")] = 1,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda")] = "auto",
    runs: Annotated[int, typer.Option(help="runs at once, which share the cores or the GPU")] = 1,
    json: Json = None,
) -> None:
    """Train as a study does, with a reward model of random weights, and say where the time goes."""
    world_model = {"size": size, "image_size": image_size}
    training = {"workers": workers, "train_ratio": train_ratio, "prefill": prefill, "device": device}
    changes = {"world_model": world_model, "training": training}
    case = Case(resolve(study, environment, method, changes), environment, method, steps, threads)
    emit(side_by_side(case, runs), json)


@dataclass(frozen=True)
class Case:
    """What is measured: `steps` agent steps of an exploration run."""

    study: Study
    environment: str
    method: str
    steps: int
    threads: int


def side_by_side(case: Case, runs: int) -> dict[str, Any]:
    """Measure `runs` runs that begin together, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Barrier(runs), context.Queue()
    processes = [context.Process(target=_run, args=(case, seed, start, results)) for seed in range(runs)]
    for process in processes:
        process.start()
    measured = [_next(results, processes) for _ in processes]
    for process in processes:
        process.join()
    settings = case.study.settings[case.environment]
    training = settings.training
    rates = {name: sum(each[name] for each in measured) for name in ("agent_steps_per_second", "updates_per_second")}
    return {
        "bench": "loop",
        "environment": case.environment,
        "method": case.method,
        "size": settings.world_model.size,
        "image_size": settings.world_model.image_size,
        "batch": [training.batch_size, training.batch_length],
        "train_ratio": training.train_ratio,
        "workers": training.workers,
        "runs": runs,
        **rates,
        "each_run": measured,
        "machine": machine(case.threads),
    }


def _next(results: Any, processes: list[Any]) -> dict[str, Any]:
    """The next result; the processes say themselves why they ended if there is none to come."""
    while results.empty():
        if any(process.exitcode for process in processes):
            for process in processes:
                process.terminate()
            sys.exit("Error: a run ended before it was measured, see above")
        time.sleep(0.1)
    return results.get()


def _run(case: Case, seed: int, start: Any, results: Any) -> None:
    limit_threads(case.threads)
    keep_memory()
    with tempfile.TemporaryDirectory() as folder:
        results.put(_measure(case, seed, Path(folder), start))


def _measure(case: Case, seed: int, folder: Path, start: Any) -> dict[str, Any]:
    from dataclasses import replace

    from sensei.training.loop import opened
    from sensei.training.run import exploration_run

    run = exploration_run(case.study, case.environment, case.method, seed, folder / "run")
    run.folder.mkdir()
    if run.method.needs_reward_model:
        run = replace(run, reward_model=_untrained_reward_model(run, folder))
    with opened(run) as loop:
        loop.begin()
        while loop.updates < WARM_UPDATES:
            loop.turn()
        start.wait()
        rates = _rates(loop, case.steps)
        parts = Parts(run.device)
        loop.part = parts
        with parts.whole():
            _advance(loop, case.steps)
        with parts("checkpoint"):
            loop.save()
        cuda = {"cuda_peak_mb": _cuda_peak()} if run.device == "cuda" else {}
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
        return {**rates, **parts.report(case.steps, run.settings.training.checkpoint_every), "peak_mb": peak, **cuda}


def _advance(loop: Any, steps: int) -> None:
    end = loop.step + steps
    while loop.step < end:
        loop.turn()


def _rates(loop: Any, steps: int) -> dict[str, float]:
    step, updates, begin = loop.step, loop.updates, time.perf_counter()
    _advance(loop, steps)
    _synchronise(loop.run.device)
    seconds = time.perf_counter() - begin
    return {
        "agent_steps_per_second": (loop.step - step) / seconds,
        "updates_per_second": (loop.updates - updates) / seconds,
        "seconds": seconds,
    }


class Parts:
    """Wall and processor time of each part of the turns; on CUDA each part is waited for, so that its time is its own.

    The environments run in other processes while the updates are made. On one core they take the update's wall time then, so
    that only shares of processor time say what each costs.
    """

    def __init__(self, device: str):
        self.device, self.wall, self.processor = device, Counter(), Counter()

    @contextlib.contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        """Measure a part."""
        wall, processor = time.perf_counter(), time.process_time()
        yield
        _synchronise(self.device)
        self.wall[name] += time.perf_counter() - wall
        self.processor[name] += time.process_time() - processor

    @contextlib.contextmanager
    def whole(self) -> Iterator[None]:
        """Measure all turns, and the environments' processes."""
        children = _children_seconds()
        with self("whole"):
            yield
        self.processor[ENVIRONMENTS] = _children_seconds() - children

    def report(self, steps: int, checkpoint_every: int) -> dict[str, Any]:
        """Shares of all parts, that of a checkpoint as often as the settings ask for it, and the share that is not the update."""
        for times in (self.wall, self.processor):
            times["checkpoint"] *= steps / checkpoint_every
            times["whole"] += times["checkpoint"]
            times["rest"] = times["whole"] - sum(value for name, value in times.items() if name not in ("whole", ENVIRONMENTS))
        processor = self.processor["whole"] + self.processor[ENVIRONMENTS]
        return {
            "share_of_time": {name: value / self.wall["whole"] for name, value in self.wall.items() if name != "whole"},
            "share_of_processor_time": {name: value / processor for name, value in self.processor.items() if name != "whole"},
            "outside_update_of_time": 1 - self.wall["update"] / self.wall["whole"],
            "outside_update_of_processor_time": 1 - self.processor["update"] / processor,
        }


def _children_seconds() -> float:
    """Processor time of this process's children so far."""
    import psutil

    return sum(sum(child.cpu_times()[:2]) for child in psutil.Process().children())


def _untrained_reward_model(run: Any, folder: Path) -> Path:
    """A reward model of the study's architecture, as costly as a trained one."""
    from sensei.envs.registry import make
    from sensei.reward.model import RewardModel, save_model

    env = make(run.settings.environment, run.settings.world_model.image_size)
    shape, flags = env.annotator_image_shape, env.observation_space["flags"].shape[0]
    env.close()
    save_model(folder / "reward.safetensors", RewardModel(shape, flags, run.settings.reward))
    return folder / "reward.safetensors"


def _synchronise(device: str) -> None:
    if device == "cuda":
        import torch

        torch.cuda.synchronize()


def _cuda_peak() -> int:
    import torch

    return torch.cuda.max_memory_allocated() // 2**20
