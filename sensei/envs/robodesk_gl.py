"""Which OpenGL library draws, and on which GPU; to be chosen before MuJoCo is imported, which reads the choice once."""

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from sensei.errors import SenseiError

BACKENDS = ("egl", "osmesa", "glfw")
HINT = "apt-get install libegl1 libgl1-mesa-dri (or libosmesa6); MUJOCO_GL=egl, osmesa or glfw chooses"
EGL_CUDA_DEVICE = 0x323A  # EGL_CUDA_DEVICE_NV of the extension EGL_NV_device_cuda
DRAW = "import mujoco; mujoco.GLContext(8, 8).make_current()"
LIST = """
from mujoco.egl import egl_ext as EGL
import ctypes
query = EGL.EGL.eglGetProcAddress(b"eglQueryDeviceAttribEXT") if hasattr(EGL, "EGL") else None
"""


def choose_backend() -> None:
    """Set MUJOCO_GL, unless the user has, to the first of egl, osmesa and glfw that opens a context here.

    Raises:
        SenseiError: none does; names the package to install.
    """
    if "MUJOCO_GL" in os.environ:
        return
    for backend in BACKENDS:
        if _opens(backend):
            os.environ["MUJOCO_GL"] = backend
            return
    raise no_opengl(f"none of {', '.join(BACKENDS)} works")


def no_opengl(found: object) -> SenseiError:
    """The error of a machine that cannot draw."""
    return SenseiError("Robodesk cannot draw: no OpenGL", found=found, hint=HINT)


def _opens(backend: str) -> bool:
    """Whether `backend` opens a context; asked of a new interpreter, since one that failed cannot load another library."""
    command = [sys.executable, "-c", DRAW]
    environment = {**os.environ, "MUJOCO_GL": backend}
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
