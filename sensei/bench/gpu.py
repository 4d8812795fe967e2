"""One command for a machine with a GPU: updates eager and compiled, peers beside ours, and the loop with several runs.

Each measurement is a process of its own, so that peak memory is its own and a failing one does not take the others with it.
"""

import json as json_module
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from sensei.bench.measure import Json, emit, machine
from sensei.core.files import read_json, write_json
from sensei.study.layout import CONFIG_FOLDER

PAPER = ["--study", str(CONFIG_FOLDER / "paper.yaml")]
SMOKE = ["--study", str(CONFIG_FOLDER / "smoke.yaml"), "--env", "minihack_keyroom_s5", "--prefill", "40"]
MODES = {"graph": "auto", "eager": "off", "compiled": "full"}


def gpu(
    against: Annotated[list[Path] | None, typer.Option(help="checkout of a peer to time beside ours; may be given more than once")] = None,
    peer_python: Annotated[str, typer.Option(help="interpreter that has the peers' packages")] = sys.executable,
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the command")] = "cuda",
    quick: Annotated[bool, typer.Option(help="smallest sizes and few repetitions, to try the command")] = False,
    only: Annotated[list[str] | None, typer.Option(help="part of the names of what is wanted; may be given more than once")] = None,
    minutes: Annotated[float, typer.Option(help="what has not begun by then is left out")] = 8.0,
    longest: Annotated[float, typer.Option(help="minutes that one measurement may take")] = 3.0,
    json: Json = None,
) -> None:
    """Time of an update at S and M in every mode and precision, and the loop of the paper's study with 1, 2 and 4 runs.

    Every result is printed, and written to the file, as soon as it is there.
    """
    deadline, results = time.monotonic() + 60 * minutes, {}
    for name, arguments in plan(against or [], device, quick, peer_python).items():
        if only and not any(part in name for part in only):
            continue
        results[name] = _measure(name, arguments, min(60 * longest, deadline - time.monotonic()))
        print(json_module.dumps({name: results[name]}), file=sys.stderr)
        if json is not None:
            write_json(json, results)
    import torch  # after the measurements: for the name of the GPU

    torch.cuda.is_available()
    emit({"bench": "gpu", "device": device, "quick": quick, **results, "machine": machine()}, json)


def plan(against: list[Path], device: str, quick: bool, peer_python: str = sys.executable) -> dict[str, list[str]]:
    """Arguments of `python -m sensei bench` by the name of the result, the most wanted first."""
    sizes = {"tiny": "0"} if quick else {"S": "0", "M": "13"}  # M is Robodesk's, with a reward head for each of its tasks
    precisions = ("bfloat16", "float32") if device == "cuda" else ("float32",)
    update = ["update", "--device", device, "--members", "8", "--repeats", "2" if quick else "20"]

    def updates(mode: str, precision: str, *more: str) -> dict[str, list[str]]:
        options = ["--method", "sensei", "--compile", MODES[mode], "--precision", precision, *more]
        return {f"update {size} {mode} {precision}": [*update, "--size", size, "--tasks", sizes[size], *options] for size in sizes}

    study, steps = (SMOKE, "40") if quick else (PAPER, "400")
    loop = ["loop", *study, "--device", device, "--steps", steps]
    plans = updates("graph", precisions[0])
    plans |= {f"loop, {runs} at once": [*loop, "--runs", str(runs)] for runs in ((1, 2) if quick else (1, 2, 4))}
    plans |= updates("eager", precisions[0], "--no-floor")
    if against:
        peers = [word for folder in against for word in ("--against", str(folder))]
        options = ["--method", "plan2explore", "--precision", precisions[0], "--peer-python", peer_python, *peers, "--no-floor"]
        plans |= {f"update {size} beside peers": [*update[:-1], "2" if quick else "8", "--size", size, *options] for size in sizes}
    if not quick:
        plans["environment robodesk"] = ["environment", "--env", "robodesk", "--seconds", "1", "--rounds", "2"]
        plans["loop robodesk"] = [*loop, "--env", "robodesk"]
    plans |= updates("compiled", precisions[0], "--no-floor")
    for precision in precisions[1:]:
        plans |= updates("graph", precision) | updates("eager", precision, "--no-floor")
    return plans


def _measure(name: str, arguments: list[str], left: float) -> dict[str, Any]:
    """The result of one benchmark, or why there is none."""
    if left <= 0:
        return {"left_out": "no time left"}
    print(f"{name}: {left:.0f} s left", file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "result.json"
        command = [sys.executable, "-m", "sensei", "bench", *arguments, "--json", str(path)]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, words = process.communicate(timeout=left)
        except subprocess.TimeoutExpired:
            return {"left_out": f"not done within the {left:.0f} s that were left"}
        finally:
            _end(process)
        if process.returncode:
            return {"failed": words.strip().splitlines()[-12:], "command": arguments}
        return read_json(path)


def _end(process: subprocess.Popen) -> None:
    """End a benchmark and the runs it has started, if it is still there."""
    if process.poll() is None:
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            each.kill()
        process.wait()
