"""`kernels.c` as a library: compiled once for each instruction set, kept in the user's cache with its checksum, called by ctypes."""

import ctypes
import fcntl
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import torch

from sensei.core.errors import SenseiError
from sensei.core.files import atomic, read_json, sha256, write_json

SOURCE = Path(__file__).with_name("kernels.c")
# No flag that lets the compiler assume finite numbers: a NaN has to stay one.
FLAGS = ("-std=gnu11", "-O3", "-fno-math-errno", "-fno-trapping-math", "-fPIC")
EPSILON = 1e-3  # of every LayerNorm
MOST_CLASSES = 64  # that a draw has to choose from
MOST_BINS = 256  # of a two-hot regression
VECTOR = 16  # numbers in the longest vector there is: rows of which are served by every instruction set
GRAIN = 2**15  # elements below which a second thread costs more than it saves
log = logging.getLogger("sensei.kernels")


class Instructions(NamedTuple):
    """An instruction set: numbers in one of its vectors, and what the compiler is told."""

    lanes: int
    flags: tuple[str, ...] = ()


INSTRUCTIONS = {
    "avx512": Instructions(16, ("-mavx512f", "-mavx512vl", "-mavx512bw", "-mavx512dq", "-mavx2", "-mfma")),
    "avx2": Instructions(8, ("-mavx2", "-mfma")),
    "neon": Instructions(4),
    "plain": Instructions(4),
}


def available() -> list[str]:
    """Instruction sets of this processor, the best first; `ATEN_CPU_CAPABILITY` limits them as it does PyTorch's."""
    if platform.machine() in ("aarch64", "arm64"):
        return ["neon", "plain"]
    found = torch.backends.cpu.get_cpu_capability()
    return {"AVX512": ["avx512", "avx2", "plain"], "AVX2": ["avx2", "plain"]}.get(found, ["plain"])


@functools.cache
def load(instructions: str) -> ctypes.CDLL | None:
    """The kernels for an instruction set of this processor; None where they cannot be had, which is logged once."""
    try:
        return ctypes.CDLL(str(build(instructions)))
    except (OSError, subprocess.SubprocessError) as error:
        found = " ".join((getattr(error, "stderr", None) or str(error)).split())
        log.warning("updates use PyTorch's own operations, up to twice as slow: kernels.c cannot be compiled: %s", found[-300:])
        return None


def build(instructions: str) -> Path:
    """Compile `kernels.c` unless the cache has it, whole and for this machine; safe for processes that do it at once.

    Raises:
        OSError: there is no compiler.
        subprocess.CalledProcessError: it fails.
    """
    command = compiler(), *FLAGS, *INSTRUCTIONS[instructions].flags, *constants(instructions)
    key = hashlib.sha256(repr((SOURCE.read_bytes(), command, platform.system(), platform.machine())).encode()).hexdigest()[:16]
    path = cache() / f"kernels-{instructions}-{key}.so"
    with alone():
        if not _whole(path):
            with atomic(path) as temporary:
                parts = temporary.with_suffix(".o")
                try:
                    _run(*command, "-fopenmp", "-c", str(SOURCE), "-o", str(parts))
                    # Not linked with -fopenmp: the threads are to be those of PyTorch, whose OpenMP is loaded already.
                    _run(command[0], "-shared", str(parts), "-o", str(temporary), "-lm")
                finally:
                    parts.unlink(missing_ok=True)
            write_json(_card(path), {"sha256": sha256(path), "machine": platform.machine(), "compiler": _version(command[0])})
    return path


def constants(instructions: str) -> tuple[str, ...]:
    """What the C source does not say itself, as options of the compiler."""
    lanes = INSTRUCTIONS[instructions].lanes
    return f"-DLANES={lanes}", f"-DEPSILON={EPSILON}f", f"-DCLASSES={MOST_CLASSES}", f"-DBINS={MOST_BINS}"


def compiler() -> str:
    """The C compiler: `CC`, `cc`, `gcc` or `clang`.

    Raises:
        FileNotFoundError: there is none.
    """
    found = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if found is None:
        raise FileNotFoundError("no C compiler (cc, gcc, clang) on the PATH")
    return found


def cache() -> Path:
    """Where what is made once per machine is kept."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "sensei"


@contextmanager
def alone() -> Iterator[None]:
    """Wait until no other process writes to the cache, and keep others waiting."""
    cache().mkdir(parents=True, exist_ok=True)
    with open(cache() / "lock", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def compiled_by(instructions: str) -> str:
    """The compiler of a library that has been built, in its own words."""
    return read_json(_card(build(instructions)))["compiler"]


def _card(path: Path) -> Path:
    return path.with_suffix(".json")


def _whole(path: Path) -> bool:
    """Whether a library is the one that was written here: a damaged or foreign one would end the process that loads it."""
    try:
        card = read_json(_card(path))
        return card["sha256"] == sha256(path) and card["machine"] == platform.machine()
    except (OSError, SenseiError, KeyError, TypeError):
        return False


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)


def _version(compiler: str) -> str:
    return subprocess.run([compiler, "--version"], check=True, capture_output=True, text=True, timeout=20).stdout.partition("\n")[0]


def threads(elements: int) -> int:
    """Threads worth starting for so many numbers."""
    return torch.get_num_threads() if elements >= GRAIN else 1
