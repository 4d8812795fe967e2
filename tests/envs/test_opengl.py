"""Which OpenGL library and which GPU draw with MuJoCo."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from sensei.core.errors import SenseiError
from sensei.envs import opengl


@pytest.mark.parametrize(
    ("visible", "cuda_numbers", "device"),
    [
        ("0", [0, 1], 0),
        ("1", [0, 1], 1),
        ("1", [1, 0], 0),  # EGL counts in an order of its own
        ("3,1", [None, 1, 3], 2),  # the first GPU named; Mesa's device is no CUDA device
        (" 1 ,0", [0, 1], 1),
        ("2", [0], None),  # hidden from EGL, as in a container
        ("0", [], None),
        ("-1", [0], None),
        ("GPU-8932f937", [0], None),
    ],
)
def test_the_egl_device_of_the_first_visible_gpu(visible, cuda_numbers, device):
    assert opengl.egl_device(visible, cuda_numbers) == device


@pytest.fixture
def machine(monkeypatch):
    """A machine of which a test says which libraries work and what CUDA's numbers are; what was tried is noted."""

    def describe(*working, cuda_numbers="[]", **variables):
        tried = []

        def python(flag, _, changes):
            if flag == "-m":
                return subprocess.CompletedProcess([], 0, stdout=cuda_numbers)
            tried.append(changes["MUJOCO_GL"])
            return SimpleNamespace(returncode=0 if changes["MUJOCO_GL"] in working else 1)

        monkeypatch.setattr(os, "environ", dict(variables))
        monkeypatch.setattr(opengl, "_python", python)
        return tried

    return describe


def test_the_first_library_that_works_is_taken(machine):
    tried = machine("osmesa", "glfw")
    opengl.choose_backend()
    assert os.environ == {"MUJOCO_GL": "osmesa"}
    assert tried == ["egl", "osmesa"]


def test_the_users_choice_stays(machine):
    tried = machine("egl", "glfw", MUJOCO_GL="glfw", MUJOCO_EGL_DEVICE_ID="5", CUDA_VISIBLE_DEVICES="1", cuda_numbers="[0, 1]")
    opengl.choose_backend()
    assert tried == ["glfw"]
    assert os.environ["MUJOCO_GL"] == "glfw"
    assert os.environ["MUJOCO_EGL_DEVICE_ID"] == "5"


@pytest.mark.parametrize("variables", [{}, {"MUJOCO_GL": "osmesa"}])
def test_without_opengl_one_line_says_what_to_install(machine, variables):
    machine(**variables)
    with pytest.raises(SenseiError, match="MuJoCo cannot draw: .*libegl1 libgl1-mesa-dri .*libosmesa6") as error:
        opengl.choose_backend()
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(("visible", "device"), [("1", "0"), ("0", "2"), ("7", None), (None, None)])
def test_the_picture_is_drawn_on_the_gpu_that_cuda_sees(machine, visible, device):
    machine("egl", cuda_numbers="[1, null, 0]", **({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}))
    opengl.choose_backend()
    assert os.environ.get("MUJOCO_EGL_DEVICE_ID") == device


def test_every_egl_device_of_this_machine_has_a_cuda_number_or_none():
    assert all(number is None or number >= 0 for number in opengl.cuda_numbers_of_egl())
