"""The kernels for NEON, cross-compiled and run under an emulator, against plain C of this machine."""

import platform
import shutil
import subprocess

import numpy as np
import pytest
from helpers import ROOT

from sensei.kernels.library import FLAGS, INSTRUCTIONS, SOURCE, constants

CROSS, EMULATOR, HOST = "aarch64-linux-gnu-gcc", "qemu-aarch64", "gcc"


def results(compiler: str, instructions: str, tmp_path, *before: str) -> list[tuple[str, np.ndarray]]:
    """What `fakes/kernels_main.c` prints of kernels compiled for an instruction set."""
    program = tmp_path / instructions
    flags = *FLAGS, *INSTRUCTIONS[instructions].flags, *constants(instructions), f'-DKERNELS="{SOURCE}"', "-static"
    subprocess.run([compiler, *flags, ROOT / "tests" / "fakes" / "kernels_main.c", "-o", program, "-lm"], check=True)
    printed = subprocess.run([*before, program], check=True, capture_output=True, text=True).stdout
    return [(name, np.array(values, float)) for name, *values in map(str.split, printed.splitlines())]


@pytest.mark.skipif(not all(map(shutil.which, (CROSS, EMULATOR, HOST))), reason=f"needs {CROSS}, {EMULATOR} and {HOST}")
def test_kernels_for_neon_compute_what_plain_c_does(tmp_path):
    neon, plain = results(CROSS, "neon", tmp_path, EMULATOR), results(HOST, "plain", tmp_path)
    assert len(neon) == len(plain) > 100
    for (name, given), (same, expected) in zip(neon, plain, strict=True):
        assert name == same
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4 * max(1, np.abs(expected).max()), err_msg=name)


@pytest.mark.skipif(platform.machine() != "x86_64" or shutil.which(HOST) is None, reason="a check of the x86 compiler's output")
@pytest.mark.parametrize("instructions", ["avx2", "avx512"])
def test_vectors_are_those_of_the_instruction_set(tmp_path, instructions):
    """The widest registers are used, and the next wider are not."""
    made = tmp_path / "kernels.s"
    flags = *FLAGS, *INSTRUCTIONS[instructions].flags, *constants(instructions)
    subprocess.run([HOST, *flags, "-S", SOURCE, "-o", made], check=True)
    text = made.read_text()
    assert "%ymm" in text and "vfmadd" in text
    assert ("%zmm" in text) == (instructions == "avx512")
