"""What every benchmark shares: timing by repetition, facts about the machine, one JSON object as the result."""

import json
import os
import platform
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sensei.core.errors import SenseiError
from sensei.core.files import write_json
from sensei.core.machine import processor
from sensei.core.provenance import hardware, package_versions

ISA = {
    "avx2": {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"},
    "avx512": {"ATEN_CPU_CAPABILITY": "avx512", "ONEDNN_MAX_CPU_ISA": "AVX512_CORE", "MKL_ENABLE_INSTRUCTIONS": "AVX512"},
}
Isa = Annotated[str | None, typer.Option(help=f"instruction set not to go beyond, {' or '.join(ISA)}; by default the processor's best")]
Json = Annotated[Path | None, typer.Option("--json", help="also write the result to this file")]
PACKAGES = ("torch", "numpy", "gymnasium", "nle", "minihack", "mujoco", "dm_control", "robodesk", "openai")


def limit_instructions(isa: str | None) -> None:
    """Let PyTorch, oneDNN and MKL, and so our kernels, go no further than an instruction set, here and in what is started from here.

    Raises:
        SenseiError: there is none of that name, or torch has been imported and has chosen already.
    """
    if isa is None:
        return
    if isa not in ISA:
        raise SenseiError("unknown instruction set", found=isa, expected=f"one of {', '.join(ISA)}")
    os.environ |= ISA[isa]
    if "torch" in sys.modules and not _limited(isa):
        raise SenseiError(f"torch computes beyond {isa} already", hint="limit instructions in a process of its own")


def _limited(isa: str) -> bool:
    import torch

    return torch.backends.cpu.get_cpu_capability().lower() in (isa, "default")


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
        "processor": processor(),
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
