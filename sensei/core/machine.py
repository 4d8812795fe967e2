"""What machine this is, and what was chosen to compute with on it."""

import platform
from pathlib import Path
from typing import Any

COMPUTED_WITH: dict[
    str, Any
] = {}  # what a library has chosen on this machine that results depend on, for manifests: it is noted by who chooses


def processor() -> str:
    """Its processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "CPU part")))
    return next(named, platform.processor() or platform.machine())
