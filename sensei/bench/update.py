"""One update of everything on a synthetic batch: ours and, side by side in the same run, other implementations."""

import json as json_module
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sensei.bench.measure import Isa, Json, emit, limit_instructions, machine, summary
from sensei.bench.workload import BATCHES, HORIZON, IMAGE, ours, workload
from sensei.core.errors import SenseiError

WARM_UP = {"cpu": 2, "cuda": 8}  # updates before the first that is timed; on a card a graph is made meanwhile
METHODS = ("dreamerv3", "plan2explore")
# glibc's settings that `sensei.core.process.keep_memory` gives our own training stages.
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**31 - 1), "MALLOC_TOP_PAD_": str(2**28)}


OURS = [sys.executable, "-c", "from sensei.bench.update import main; main()"]


def update(
    size: Annotated[str, typer.Option(help=f"network preset: {', '.join(BATCHES)}")] = "tiny",
    method: Annotated[
        list[str], typer.Option(help="dreamerv3, plan2explore (with ensemble) or sensei; may be given more than once")
    ] = METHODS,
    against: Annotated[list[Path], typer.Option(help="checkout of a peer to time in the same run; may be given more than once")] = (),
    peer_python: Annotated[str, typer.Option(help="interpreter that has the peers' packages")] = sys.executable,
    batch: Annotated[str | None, typer.Option(help="batch x length, e.g. 8x32; by default the preset's")] = None,
    horizon: Annotated[int, typer.Option(min=1, help="steps imagined")] = HORIZON,
    image: Annotated[int, typer.Option(help="side of the picture in pixels; peers take 64 only")] = IMAGE,
    starts: Annotated[int | None, typer.Option(help="states imagined from; by default every state of the batch")] = None,
    members: Annotated[int, typer.Option(help="members of the ensemble (the peers' default; the paper's is 8)")] = 10,
    tasks: Annotated[int, typer.Option(help="reward heads of further tasks")] = 0,
    compile: Annotated[str, typer.Option(help="off, auto or full")] = "auto",
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    precision: Annotated[str, typer.Option(help="float32, or bfloat16 on cuda")] = "float32",
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="updates timed of each")] = 10,
    floor: Annotated[bool, typer.Option(help="also find the floor: the arithmetic at the best rates measured here")] = True,
    isa: Isa = None,
    same_allocator: Annotated[bool, typer.Option(help="give every implementation the allocator settings of ours")] = False,
    json: Json = None,
) -> None:
    """Milliseconds of one update; with --against, of a peer's DreamerV3 on the same batch, update by update in turn."""
    limit_instructions(isa)
    if size not in BATCHES:
        raise SenseiError("bench update: unknown --size", found=size, expected=f"one of {', '.join(BATCHES)}")
    shape = tuple(map(int, batch.split("x"))) if batch else BATCHES[size]
    options = {"image_size": image, "horizon": horizon, "starts": starts, "members": members, "tasks": tasks}
    options |= {"compile": compile, "device": device, "precision": precision, "threads": threads}
    from sensei.bench.floor import floor as floor_of
    from sensei.bench.floor import peaks

    measured = peaks(size, shape[0] * shape[1], device, threads, precision) if floor else None
    results = {}
    for name in method:
        work = workload(size, shape, name, **options)
        commands = {"ours": OURS} | {_name(folder): _peer(folder, peer_python) for folder in against}
        results[name] = side_by_side(work, commands, repeats, same_allocator) | ({"floor": floor_of(work, measured)} if floor else {})
        _compare(results[name], shape[0] * shape[1])
    described = {"size": size, "batch": list(shape), "horizon": horizon, "isa": isa, "repeats": repeats, "same_allocator": same_allocator}
    emit({"bench": "update", **described, **options, "peaks": measured, "results": results, "machine": machine(threads)}, json)


def side_by_side(work: dict[str, Any], commands: dict[str, list[str]], repeats: int, same_allocator: bool) -> dict[str, Any]:
    """Milliseconds and memory of each implementation, each in a process of its own, one update of each in turn."""
    environment = os.environ | (ALLOCATOR if same_allocator else {})
    answers: dict[str, list[dict]] = {name: [] for name in commands}
    workers = {name: _Worker(name, command, environment, work) for name, command in commands.items()}
    try:
        warm_up = WARM_UP[work.get("device", "cpu")]
        for repeat in range(warm_up + repeats):
            for name, worker in workers.items():
                answer = worker.ask()
                answers[name] += [answer] if repeat >= warm_up else []
    finally:
        for worker in workers.values():
            worker.close()
    return {name: _summary(updates) for name, updates in answers.items()}


def _summary(updates: list[dict[str, float]]) -> dict[str, float]:
    busy = summary([each["cpu_milliseconds"] for each in updates])
    times = summary([each["milliseconds"] for each in updates])
    memory = {name: value for name, value in updates[-1].items() if name.endswith("_mb")}
    return times | {"cpu_median_ms": busy["median_ms"], "cpu_minimum_ms": busy["minimum_ms"]} | memory


class _Worker:
    """A process that does one update when asked."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], work: dict[str, Any]):
        self.name = name
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        try:
            pickle.dump(work, self.process.stdin)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its answer, or that there is none, says why
        self._receive()

    def ask(self) -> dict[str, float]:
        """Let it do one update."""
        self.process.stdin.write(b"\n")
        self.process.stdin.flush()
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        line = self.process.stdout.readline()
        answer = json_module.loads(line) if line else {"error": "it ended; its last words are above"}
        if "error" in answer:
            self.close()
            raise SenseiError(f"bench update: {self.name} cannot be timed", found=answer["error"], hint=_remedy(self.name))
        return answer

    def close(self) -> None:
        """End it."""
        self.process.kill()
        self.process.wait()


def _remedy(name: str) -> str | None:
    from sensei.bench.peers import NEEDS

    if name not in NEEDS:
        return None
    return f"install {', '.join(NEEDS[name])} for the interpreter that --peer-python names"


def _name(folder: Path) -> str:
    from sensei.bench.peers import NEEDS, kind

    name = kind(folder)
    if name is None:
        raise SenseiError(
            f"bench update: --against {folder}", found="no known implementation", expected=f"a checkout of {' or '.join(NEEDS)}"
        )
    return name


def _peer(folder: Path, python: str) -> list[str]:
    return [python, str(Path(__file__).with_name("peers.py")), str(folder.resolve())]


def _compare(results: dict[str, Any], transitions: int) -> None:
    """Add transitions per second, the ratio to the fastest peer and the ratio to the floor."""
    mine = results["ours"]
    mine["transitions_per_second"] = 1000 * transitions / mine["median_ms"]
    if "floor" in results:
        mine["times_the_floor"] = mine["median_ms"] / results["floor"]["milliseconds"]
        mine["gflops_per_second"] = results["floor"]["gflops"] / mine["median_ms"] * 1000
    peers = {name: result for name, result in results.items() if name not in ("ours", "floor")}
    if peers:
        best = min(peers, key=lambda name: peers[name]["median_ms"])
        mine["fastest_peer"] = best
        mine["times_faster"] = peers[best]["median_ms"] / mine["median_ms"]


def main() -> None:
    """Serve updates of ours, with the allocator set as in a training stage."""
    from sensei.bench.peers import serve
    from sensei.core.process import keep_memory

    keep_memory()
    serve(lambda work: ours(work)[1])
