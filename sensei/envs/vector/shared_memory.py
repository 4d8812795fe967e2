"""Arrays that a parent and its workers both see.

They lie in a temporary file without a name, mapped into every process: the system frees it when the last process ends, however it
ends, so that nothing can be left behind (named segments of `multiprocessing.shared_memory` outlive a SIGKILL).
"""

import mmap
import os
import tempfile

import numpy as np

from sensei.core.errors import MachineError
from sensei.envs.step import Spec

ALIGNMENT = 64  # bytes: a cache line


def _offsets(layout: Spec) -> tuple[dict[str, int], int]:
    """Where each array begins, and the size of all of them, in bytes."""
    offsets, end = {}, 0
    for name, (shape, dtype) in layout.items():
        offsets[name] = end
        size = int(np.prod(shape)) * dtype.itemsize
        end += -(-size // ALIGNMENT) * ALIGNMENT
    return offsets, max(end, ALIGNMENT)


def map_arrays(file: int, layout: Spec) -> dict[str, np.ndarray]:
    """Map the arrays of `layout` (name -> shape, dtype) into this process.

    Args:
        file: descriptor of the shared file, which grows to the size needed; new arrays hold zeros.

    Raises:
        MachineError: the temporary folder has no room for them; found now, because a write to a mapped page that finds none is signal 7.
    """
    offsets, size = _offsets(layout)
    if os.fstat(file).st_size < size:
        try:
            os.ftruncate(file, size)
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file, 0, size)
        except OSError as error:
            folder = tempfile.gettempdir()
            hint = "free space there, or set TMPDIR to another folder"
            raise MachineError(f"the temporary folder {folder} has no room for {size} bytes", found=error.strerror, hint=hint) from error
    memory = mmap.mmap(file, size)
    return {name: np.ndarray(shape, dtype, memory, offsets[name]) for name, (shape, dtype) in layout.items()}
