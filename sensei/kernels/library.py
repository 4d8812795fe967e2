"""`kernels.c` as a library: compiled once per machine by the C compiler that is found, kept in the user's cache, called by ctypes."""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path

import torch

from sensei.core.files import atomic

SOURCE = Path(__file__).with_name("kernels.c")
# No flag that lets the compiler assume finite numbers: a NaN has to stay one.
FLAGS = ("-std=gnu11", "-O3", "-march=native", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
EPSILON = 1e-3  # of every LayerNorm
MOST_CLASSES = 64  # that a draw has to choose from
MOST_BINS = 256  # of a two-hot regression
CONSTANTS = (f"-DEPSILON={EPSILON}f", f"-DCLASSES={MOST_CLASSES}", f"-DBINS={MOST_BINS}")
LANES = 16  # numbers that a vector holds; rows are taken whole vectors at a time
GRAIN = 2**15  # elements below which a second thread costs more than it saves
log = logging.getLogger("sensei.kernels")


@functools.cache
def compiled() -> ctypes.CDLL | None:
    """The compiled kernels; None where they cannot be had, which is logged once."""
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    try:
        if compiler is None:
            raise FileNotFoundError("no C compiler (cc, gcc, clang) on the PATH")
        return ctypes.CDLL(str(build(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        found = getattr(error, "stderr", None) or str(error)
        log.warning("updates use PyTorch's own operations, up to twice as slow: kernels.c cannot be compiled: %s", found.strip()[-500:])
        return None


def build(compiler: str) -> Path:
    """Compile `kernels.c` unless the cache has it for this source, compiler and processor; safe for processes that do it at once."""
    key = hashlib.sha256(repr((SOURCE.read_bytes(), FLAGS, CONSTANTS, compiler, _processor())).encode()).hexdigest()[:16]
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensei"
    path = folder / f"kernels-{key}.so"
    if not path.exists():
        with atomic(path) as temporary:
            parts = temporary.with_suffix(".o")
            try:
                _run(compiler, *FLAGS, *CONSTANTS, "-fopenmp", "-c", str(SOURCE), "-o", str(parts))
                # Not linked with -fopenmp: the threads are to be those of PyTorch, whose OpenMP is loaded already.
                _run(compiler, "-shared", str(parts), "-o", str(temporary), "-lm")
            finally:
                parts.unlink(missing_ok=True)
    return path


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def _processor() -> str:
    """What -march=native depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))}))


def threads(elements: int) -> int:
    """Threads worth starting for so many numbers."""
    return torch.get_num_threads() if elements >= GRAIN else 1


def call(name: str, *arguments: torch.Tensor | int | float | ctypes.Structure | None) -> None:
    """Call a function of the library: tensors (or None) and structures are its pointers, int its long, float its double."""
    getattr(compiled(), name)(*(_argument(argument) for argument in arguments))


def _argument(value: torch.Tensor | int | float | ctypes.Structure | None):
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    if isinstance(value, ctypes.Structure):
        return ctypes.byref(value)
    return value if value is None else (ctypes.c_long if isinstance(value, int) else ctypes.c_double)(value)
