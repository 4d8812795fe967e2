"""What machine this is."""

import platform
from pathlib import Path


def processor() -> str:
    """Its processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith(("model name", "CPU part")))
    return next(named, platform.processor() or platform.machine())
