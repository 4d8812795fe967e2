"""One command for a machine with a GPU: updates eager and compiled, peers beside ours, and the loop with several runs.

Each measurement is a process of its own, so that peak memory is its own and a failing one does not take the others with it.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import psutil
import typer

from sensei.bench.measure import Json, emit, machine
from sensei.core.files import read_json
from sensei.study.layout import CONFIG_FOLDER

PAPER = ["--study", str(CONFIG_FOLDER / "paper.yaml")]
SMOKE = ["--study", str(CONFIG_FOLDER / "smoke.yaml"), "--env", "minihack_keyroom_s5", "--prefill", "40"]


def gpu(
    against: Annotated[list[Path] | None, typer.Option(help="checkout of a peer to time beside ours; may be given more than once")] = None,
    device: Annotated[str, typer.Option(help="cuda, or cpu to try the command")] = "cuda",
    quick: Annotated[bool, typer.Option(help="smallest sizes and few repetitions, to try the command")] = False,
    minutes: Annotated[float, typer.Option(help="what has not begun by then is left out")] = 8.0,
    json: Json = None,
) -> None:
    """Time of an update at S and M, eager and compiled, and the loop on MiniHack at train ratio 512 with 1, 2 and 4 runs."""
    deadline = time.monotonic() + 60 * minutes
    results = {name: _measure(name, arguments, deadline) for name, arguments in plan(against or [], device, quick).items()}
    import torch  # after the measurements: for the name of the GPU

    torch.cuda.is_available()
    emit({"bench": "gpu", "device": device, "quick": quick, **results, "machine": machine()}, json)


def plan(against: list[Path], device: str, quick: bool) -> dict[str, list[str]]:
    """Arguments of `python -m sensei bench` by the name of the result, the most wanted first."""
    precision = "bfloat16" if device == "cuda" else "float32"
    update = ["update", "--device", device, "--precision", precision, "--members", "8", "--repeats", "2" if quick else "20"]
    sizes = {"tiny": "0"} if quick else {"S": "0", "M": "13"}  # M is Robodesk's, with a reward head for each of its tasks
    plans = {
        f"update {size} {mode}": [*update, "--size", size, "--tasks", tasks, "--method", "sensei", "--compile", compiled]
        for size, tasks in sizes.items()
        for mode, compiled in (("eager", "off"), ("compiled", "full"))
    }
    study, steps = (SMOKE, "40") if quick else (PAPER, "400")
    for runs in (1, 2) if quick else (1, 2, 4):
        plans[f"loop, {runs} at once"] = ["loop", *study, "--device", device, "--steps", steps, "--runs", str(runs)]
    peers = [word for folder in against for word in ("--against", str(folder))]
    for size in sizes if peers else ():
        plans[f"update {size} beside peers"] = [*update, "--size", size, "--method", "plan2explore", *peers]
    return plans


def _measure(name: str, arguments: list[str], deadline: float) -> dict[str, Any]:
    """The result of one benchmark, or why there is none."""
    left = deadline - time.monotonic()
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
            return {"failed": words.strip().splitlines()[-1:], "command": arguments}
        return read_json(path)


def _end(process: subprocess.Popen) -> None:
    """End a benchmark and the runs it has started, if it is still there."""
    if process.poll() is None:
        for each in (*psutil.Process(process.pid).children(recursive=True), process):
            each.kill()
        process.wait()
