"""The frame of every stage: log, threads, lock, a clean end on signals to stop, inputs that are whole, manifests beside the outputs."""

import contextlib
import ctypes
import logging
import os
import platform
import socket
import sys
import time
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from sensei.core import stopping
from sensei.core.errors import SenseiError
from sensei.core.files import remove_temporaries, writing
from sensei.core.locks import held
from sensei.core.provenance import MANIFEST, write_manifests
from sensei.core.verification import verified, verify_folder

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4  # malloc.h
SHOWN = 10  # missing inputs that an error names


@contextlib.contextmanager
def stage(
    name: str,
    *,
    inputs: list[Path],
    outputs: list[Path],
    settings: dict[str, Any] | None = None,
    seed: int | None = None,
    threads: int = 1,
    code: str | None = None,
    folders: dict[Path, Path] | None = None,
    kept: dict[Path, Path] | None = None,
    brought: Container[Path] = (),
    root: Path | None = None,
    remedy: str = "make it first",
) -> Iterator[None]:
    """Run the body as stage `name`: it reads `inputs` and writes `outputs`.

    Enter it before anything heavy is imported: it sets the number of threads that numerical libraries start with. Only one process at
    a time makes the same outputs; what a killed one left half-written is removed. The process ends with the Snakemake that began it.

    Args:
        settings: the part of the study that the stage read, for the manifests (`Stage.settings`).
        seed: the seed of the run, for the manifests.
        threads: CPU threads of this process.
        code: fingerprint of the code behind the stage, for the manifests.
        folders: in which it reads files that one of the inputs names (folder -> that input), for the manifests.
        kept: folders that it writes besides (folder -> the output that vouches for them), for the manifests.
        brought: inputs that no stage made; they may be without a manifest.
        root: the folder of the study, for the manifests.
        remedy: what helps if an input is missing.

    Raises:
        SenseiError: an input is missing, damaged or without a manifest, or another process is at it.
        SystemExit: a signal to stop came (`sensei.core.stopping`); the body's `finally` clauses run first.
    """
    log = logging.getLogger(f"sensei.{name}")
    _log_to_stderr()
    limit_threads(threads)
    keep_memory()
    stopping.listen()
    if missing := [str(path) for path in inputs if not path.exists()]:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise SenseiError(f"stage {name}: there is no {', '.join(missing[:SHOWN])}{more}", hint=remedy)
    hashes = {path: verified(path, recorded=path not in brought) for path in inputs}
    for folder, index in (folders or {}).items():
        verify_folder(folder, index)
    with held(outputs[0].with_name(f".{outputs[0].name}.lock"), f"stage {name} of {outputs[0]}"), writing(outputs[0].parent):
        from sensei.core.orphan import end_with_snakemake  # psutil takes a while

        remove_temporaries(*outputs, *(Path(f"{path}{MANIFEST}") for path in outputs))
        end_with_snakemake()
        started = time.monotonic()
        who = f"on {time.strftime('%Y-%m-%d')} as process {os.getpid()} on {socket.gethostname()}"
        log.info("started %s%s", who, f", seed {seed}" if seed is not None else "")
        yield
        seconds = time.monotonic() - started
        assert all(path.exists() for path in outputs), f"stage {name} did not write {[str(path) for path in outputs if not path.exists()]}"
        write_manifests(name, outputs, hashes, settings or {}, seed, seconds, code, folders, kept, root)
        log.info("done in %.1f s: %s", seconds, ", ".join(str(path) for path in outputs))


def limit_threads(threads: int) -> None:
    """Let numerical libraries use `threads` threads, whether they are imported already or not."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ[variable] = str(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


def keep_memory() -> None:
    """Tell glibc to keep freed memory: tensors of a training step are freed and wanted again 50 times a second, and giving
    their pages back to the system costs about a tenth of the step. Other C libraries are left as they are.
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL("libc.so.6")
        for option, value in ((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2**31 - 1), (M_TOP_PAD, 2**28)):
            libc.mallopt(option, value)


def use_this_interpreter() -> None:
    """Let `python` in child processes be the one that runs here, unless they put another before it on the PATH."""
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _log_to_stderr() -> None:
    """Log to stderr, a line at a time, so that a log file can be followed while the stage runs."""
    sys.stderr.reconfigure(line_buffering=True)
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(name)s %(message)s", datefmt="%H:%M:%S", force=True)
