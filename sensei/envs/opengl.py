"""Which OpenGL library draws, and on which GPU; to be chosen before MuJoCo is imported, which reads the choice once."""

import ctypes
import ctypes.util
import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence

from sensei.core.errors import MachineError

BACKENDS = ("egl", "osmesa", "glfw")
OPEN = """
import mujoco
context = mujoco.GLContext(8, 8)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100)
"""
EGL_CUDA_DEVICE = 0x323A  # attribute of an EGL device in the extension EGL_NV_device_cuda
MOST_DEVICES = 64


def choose_backend() -> None:
    """Set MUJOCO_GL to the first of egl, osmesa and glfw that works here and MUJOCO_EGL_DEVICE_ID to the GPU, unless the user has.

    Raises:
        MachineError: none works, or the user's does not; names the packages to install.
        ModuleNotFoundError: there is no MuJoCo.
    """
    if importlib.util.find_spec("mujoco") is None:
        raise ModuleNotFoundError("No module named 'mujoco'", name="mujoco")
    wanted = os.environ.get("MUJOCO_GL")
    if "MUJOCO_EGL_DEVICE_ID" not in os.environ and os.environ.get("CUDA_VISIBLE_DEVICES") and wanted in (None, "egl"):
        device = egl_device(os.environ["CUDA_VISIBLE_DEVICES"], _ask_cuda_numbers())
        os.environ |= {} if device is None else {"MUJOCO_EGL_DEVICE_ID": str(device)}
    candidates = (wanted,) if wanted else BACKENDS
    working = next((backend for backend in candidates if _python("-c", OPEN, changes={"MUJOCO_GL": backend}).returncode == 0), None)
    if working is None:
        raise no_opengl(f"MUJOCO_GL={wanted}, which does not work" if wanted else f"that none of {', '.join(BACKENDS)} works")
    os.environ["MUJOCO_GL"] = working


def without_display() -> None:
    """Let SDL, with which Gymnasium's classic games draw, look for neither a screen nor a sound card where there is no screen: it complains
    of each that it does not find."""
    if not {"DISPLAY", "WAYLAND_DISPLAY"} & os.environ.keys():
        for driver in ("SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
            os.environ.setdefault(driver, "dummy")


def no_opengl(found: object) -> MachineError:
    """The error of a machine that cannot draw."""
    install = "OpenGL, for example Debian's libegl1 libgl1-mesa-dri (egl) or libosmesa6 (osmesa)"
    return MachineError("MuJoCo cannot draw", found=found, expected=install)


def egl_device(visible: str, cuda_numbers: Sequence[int | None]) -> int | None:
    """EGL's number of the first GPU that CUDA_VISIBLE_DEVICES names; None where it is unknown, so that EGL chooses.

    Args:
        visible: CUDA_VISIBLE_DEVICES; GPUs named by identifier instead of number are not resolved.
        cuda_numbers: CUDA's number of every EGL device; EGL counts the same GPUs in an order of its own.
    """
    first = visible.split(",")[0].strip()
    return cuda_numbers.index(int(first)) if first.isdigit() and int(first) in cuda_numbers else None


def cuda_numbers_of_egl() -> list[int | None]:
    """CUDA's number of every EGL device, None for one that is no CUDA device; empty without EGL."""
    library = ctypes.util.find_library("EGL")
    if library is None:
        return []
    egl = ctypes.CDLL(library)
    egl.eglGetProcAddress.restype, egl.eglGetProcAddress.argtypes = ctypes.c_void_p, [ctypes.c_char_p]
    list_devices, ask = egl.eglGetProcAddress(b"eglQueryDevicesEXT"), egl.eglGetProcAddress(b"eglQueryDeviceAttribEXT")
    if not list_devices or not ask:
        return []
    pointers, number, value = (ctypes.c_void_p * MOST_DEVICES)(), ctypes.c_int(), ctypes.c_ssize_t()
    ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(list_devices)(
        MOST_DEVICES, ctypes.byref(pointers), ctypes.byref(number)
    )
    ask = ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)(ask)
    answers = (ask(device, EGL_CUDA_DEVICE, ctypes.byref(value)) for device in pointers[: number.value])
    return [value.value if answered else None for answered in answers]


def _ask_cuda_numbers() -> list[int | None]:
    """`cuda_numbers_of_egl` of an interpreter that sees all GPUs, so that the numbers are those that CUDA_VISIBLE_DEVICES means."""
    answer = _python("-m", __name__, changes={"CUDA_VISIBLE_DEVICES": None})
    return json.loads(answer.stdout) if answer.returncode == 0 else []


def _python(*arguments: str, changes: Mapping[str, str | None]) -> subprocess.CompletedProcess[str]:
    """Run a new interpreter: one in which an OpenGL library has failed cannot load another."""
    environment = {name: value for name, value in {**os.environ, **changes}.items() if value is not None}
    environment["PYTHONPATH"] = os.pathsep.join(path or os.getcwd() for path in sys.path)
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)


if __name__ == "__main__":
    print(json.dumps(cuda_numbers_of_egl()))
