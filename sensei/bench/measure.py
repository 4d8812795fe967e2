"""What every benchmark shares: timing by repetition, facts about the machine, one JSON object as the result."""

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sensei.core.files import write_json
from sensei.core.provenance import hardware, package_versions

Json = Annotated[Path | None, typer.Option("--json", help="also write the result to this file")]
PACKAGES = ("torch", "numpy", "gymnasium", "nle", "minihack", "mujoco", "dm_control", "robodesk", "openai")


def timed(function: Callable[[], Any], repeats: int, warmup: int = 1) -> dict[str, float]:
    """Milliseconds of `repeats` calls after `warmup` unmeasured ones: median, minimum, and the 10th and 90th percentile."""
    for _ in range(warmup):
        function()
    milliseconds = []
    for _ in range(repeats):
        begin = time.perf_counter()
        function()
        milliseconds.append(1000 * (time.perf_counter() - begin))
    return summary(milliseconds)


def summary(milliseconds: list[float]) -> dict[str, float]:
    """Median, minimum and spread of measured times."""
    low, median, high = np.percentile(milliseconds, (10, 50, 90))
    return {"median_ms": median, "minimum_ms": min(milliseconds), "p10_ms": low, "p90_ms": high, "repeats": len(milliseconds)}


def machine(threads: int | None = None) -> dict[str, Any]:
    """Processor, cores, threads, GPU, load, Python and package versions."""
    facts = hardware()
    return {
        **facts,
        "processor": _processor(),
        "threads": threads or facts["threads"],
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "packages": package_versions(PACKAGES),
    }


def emit(result: dict[str, Any], path: Path | None) -> None:
    """Print the result as JSON, floats with four digits, and write it to `path` if one is given."""
    rounded = _rounded(result)
    print(json.dumps(rounded, indent=2))
    if path is not None:
        write_json(path, rounded)


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_rounded(part) for part in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.processor())
