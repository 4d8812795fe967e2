"""`python -m sensei bench update`: one gradient update on a synthetic batch, ours beside other implementations of DreamerV3.

Every implementation runs in a process of its own, all are started at once and take turns, one update each, so that whatever else
the machine does meets all alike. A peer is imported from a checkout that the user has (`sensei.bench.peers`).
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
import typer

from sensei.bench import app
from sensei.bench.measure import Json, emit, machine, summary
from sensei.errors import SenseiError
from sensei.stage import keep_memory, limit_threads

Step = Callable[[], Any]
HORIZON, MEMBERS = 15, 10


@dataclass(frozen=True)
class Problem:
    """What is updated: network widths, batch, actions; pictures are 64 x 64, imagination starts from every state."""

    deter: int
    stoch: int
    classes: int
    depth: int
    units: int
    layers: int
    batch: int
    length: int
    actions: int = 9
    discrete: bool = True


PROBLEMS = {
    "tiny": Problem(128, 8, 8, 8, 128, 2, 8, 32),
    "XS": Problem(128, 16, 8, 8, 128, 1, 8, 32),
    "S": Problem(512, 32, 32, 32, 512, 2, 16, 64),
    "M": Problem(1024, 32, 32, 48, 640, 3, 16, 64, actions=5, discrete=False),
}


def synthetic(problem: Problem) -> dict[str, np.ndarray]:
    """A replay batch of noise, [batch, length, ...] per field; episodes last 200 steps in the mean."""
    rng, shape = np.random.default_rng(0), (problem.batch, problem.length)
    is_first = rng.random(shape) < 1 / 200
    is_first[:, 0] = True
    last = np.pad(is_first[:, 1:], ((0, 0), (0, 1)))
    action = rng.integers(problem.actions, size=shape) if problem.discrete else rng.uniform(-1, 1, (*shape, problem.actions))
    return {
        "image": rng.integers(0, 256, (*shape, 64, 64, 3), dtype=np.uint8),
        "flags": np.zeros((*shape, 0), np.float32),
        "action": action.astype(np.int64 if problem.discrete else np.float32),
        "reward": rng.normal(size=shape).astype(np.float32),
        "semantic": np.zeros(shape, np.float32),
        "task_rewards": np.zeros((*shape, 0), np.float32),
        "is_first": is_first,
        "is_terminal": last & (rng.random(shape) < 0.5),
    }


def ours(problem: Problem, ensemble: bool, device: str, compile: str, precision: str) -> Step:
    """Our update: world model, task behaviour and, with the ensemble, disagreement and exploration behaviour."""
    from sensei import config
    from sensei.agents.dreamer import DreamerAgent, Spaces
    from sensei.world_model import sizes

    sizes.SIZES["S"] = sizes.Size(problem.deter, problem.stoch, problem.classes, problem.depth, problem.units, problem.layers)
    settings = config.Settings.model_construct(
        world_model=config.WorldModelConfig(size="S"),
        ensemble=config.EnsembleConfig(members=MEMBERS),
        behaviour=config.BehaviourConfig(horizon=HORIZON),
        training=config.TrainingConfig(compile=compile, precision=precision),
    )
    method = config.Method(title="Plan2Explore", sources=["disagreement"])
    weights = config.ExplorationConfig(explore=config.Weights(disagreement=1))
    spaces = Spaces(0, problem.actions, problem.discrete)
    agent = DreamerAgent(spaces, settings, method, weights, "explore" if ensemble else "task", seed=0, device=device)
    batch = synthetic(problem)
    return lambda: agent.update(batch)


@app.command()
def update(
    json_path: Json = None,
    size: Annotated[Literal["tiny", "XS", "S", "M"], typer.Option(help="networks and batch: tiny and XS 8 x 32, S and M 16 x 64")] = "tiny",
    ensemble: Annotated[bool, typer.Option(help="also Plan2Explore: 10 members, a second behaviour")] = False,
    against: Annotated[list[Path], typer.Option(help="checkout of NM512/dreamerv3-torch or of sheeprl; repeatable")] = [],
    device: Annotated[Literal["cpu", "cuda"], typer.Option()] = "cpu",
    compile: Annotated[Literal["off", "auto", "full"], typer.Option(help="as `training.compile`, ours only")] = "auto",
    precision: Annotated[Literal["float32", "bfloat16"], typer.Option(help="ours only")] = "float32",
    threads: Annotated[int, typer.Option(min=1)] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="timed updates of each implementation")] = 20,
    same_allocator: Annotated[bool, typer.Option(help="tune the peers' memory allocator as ours")] = False,
) -> None:
    """Time one update, ours and that of other implementations on the same batch, taking turns."""
    options = {"ensemble": ensemble, "device": device, "size": size, "threads": threads}
    turns = [Turn("sensei", {**options, "compile": compile, "precision": precision})]
    turns += [Turn(path.resolve().name, {**options, "peer": str(path.resolve()), "tuned": same_allocator}) for path in against]
    try:
        for _ in range(repeats):
            for turn in turns:
                turn.measure()
        results = {turn.name: turn.result(PROBLEMS[size]) for turn in turns}
    finally:
        for turn in turns:
            turn.close()
    for result in results.values():
        result["times_ours"] = result["median_ms"] / results["sensei"]["median_ms"]
    emit({"size": size, "ensemble": ensemble, **options, "compile": compile, **results, "machine": machine(threads)}, json_path)


class Turn:
    """One implementation in a process of its own that makes an update whenever it is told to."""

    def __init__(self, name: str, options: dict[str, Any]):
        self.name, self.times = name, []
        command = [sys.executable, "-W", "ignore", "-m", "sensei.bench.update", json.dumps(options)]
        environment = os.environ | {"OMP_NUM_THREADS": str(options["threads"])}
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        self.facts = self._ask(None)

    def _ask(self, word: str | None) -> dict[str, Any]:
        if word is not None:
            self.process.stdin.write(word + "\n")
            self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith('{"bench"'):  # a peer may print too
                answer = json.loads(line)["bench"]
                if "error" in answer:
                    raise SenseiError(f"{self.name}: {answer['error']}", hint=answer["hint"])
                return answer
        raise SenseiError(f"{self.name}: the process that measures it died", hint="its own message is above")

    def measure(self) -> None:
        """One timed update."""
        self.times.append(self._ask("update")["ms"])

    def result(self, problem: Problem) -> dict[str, Any]:
        """Times, rates and memory."""
        facts, times = self._ask("facts"), summary(self.times)
        seconds = times["median_ms"] / 1000
        rates = {"transitions_per_s": problem.batch * problem.length / seconds}
        if facts.get("flop"):
            rates["gflop_per_s"] = facts["flop"] / seconds / 1e9
            rates["share_of_matrix_peak"] = rates["gflop_per_s"] / facts["matrix_gflop_per_s"]
        return times | rates | facts

    def close(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.wait(timeout=60)


def serve(options: dict[str, Any]) -> None:
    """Body of a measuring process: build, warm up, then one update a line of standard input."""
    limit_threads(options["threads"])
    peer = options.get("peer")
    if peer is None or options["tuned"]:
        keep_memory()
    import torch

    torch.set_num_threads(options["threads"])
    problem, synchronise = PROBLEMS[options["size"]], torch.cuda.synchronize if options["device"] == "cuda" else lambda: None
    try:
        if peer is None:
            step = ours(problem, options["ensemble"], options["device"], options["compile"], options["precision"])
        else:
            from sensei.bench.peers import build

            step = build(Path(peer), problem, options["ensemble"], options["device"])
    except SenseiError as error:
        return _answer({"error": error.what, "hint": error.hint})
    for _ in range(5 if options["device"] == "cuda" else 2):
        step()
    synchronise()
    _answer({})
    for line in sys.stdin:
        if line.strip() == "facts":
            _answer(_facts(step, peer is None, options["device"]))
            continue
        begin = time.perf_counter()
        step()
        synchronise()
        _answer({"ms": 1000 * (time.perf_counter() - begin)})
    return None


def _answer(message: dict[str, Any]) -> None:
    print(json.dumps({"bench": message}), flush=True)


def _facts(step: Step, ours: bool, device: str) -> dict[str, Any]:
    """Peak memory; for ours also the arithmetic of an update and what the machine reaches in its best matrix product and convolution."""
    import torch

    resident = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    facts = {"peak_memory_mb": torch.cuda.max_memory_allocated() / 2**20 if device == "cuda" else resident}
    if ours and device == "cpu":
        from sensei.world_model.products import product

        x, weight = torch.rand(2048, 2048), torch.rand(2048, 2048)
        picture = torch.rand(256, 64, 16, 16).contiguous(memory_format=torch.channels_last)
        kernel = torch.rand(128, 64, 4, 4).contiguous(memory_format=torch.channels_last)
        with torch.no_grad():
            facts["matrix_gflop_per_s"] = _rate(lambda: product(x, weight), 2 * 2048**3)
            convolution = torch.nn.functional.conv2d
            facts["convolution_gflop_per_s"] = _rate(lambda: convolution(picture, kernel, stride=2, padding=1), 2 * 256 * 64 * 64 * 16 * 128)
        facts["flop"] = arithmetic(step)
    return facts


def _rate(function: Step, flop: float) -> float:
    """GFLOP/s of the fastest of seven calls."""
    seconds = []
    for _ in range(7):
        begin = time.perf_counter()
        function()
        seconds.append(time.perf_counter() - begin)
    return flop / min(seconds) / 1e9


def arithmetic(step: Step) -> int:
    """Multiplications and additions of one update's matrix products and convolutions, counted by torch's own operators."""
    from torch.utils.flop_counter import FlopCounterMode

    from sensei.world_model import convolutions, products

    linear, few = products.LINEAR, convolutions.FEW
    products.LINEAR, convolutions.FEW = None, 0  # the counter does not know oneDNN's product
    try:
        with FlopCounterMode(display=False) as counter:
            step()
    finally:
        products.LINEAR, convolutions.FEW = linear, few
    return counter.get_total_flops()


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
