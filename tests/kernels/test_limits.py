"""The tests of kernels and of whole updates again, on this machine as if it were a lesser one."""

import subprocess
import sys

import pytest
from helpers import ROOT, environment

from sensei.bench.measure import ISA
from sensei.kernels.library import available

PLAIN = {"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "SSE41", "MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}
TESTS = "tests/kernels", "tests/agents/test_update.py::test_ten_updates_by_our_kernels_are_those_of_pytorch"

ELSEWHERE = ("neon", "card", "choice", "library")  # which look at no arithmetic of this processor's


@pytest.mark.slow
@pytest.mark.parametrize("isa", ["avx2", "plain"])
def test_ours_are_pytorchs_at_every_instruction_set(isa):
    if isa not in available():
        pytest.skip(f"this processor has no {isa}")
    options = "-q", "-m", "not slow", "-p", "no:cacheprovider", *(f"--ignore=tests/kernels/test_{name}.py" for name in ELSEWHERE)
    limited = environment() | {"plain": PLAIN, **ISA}[isa]
    code = f"from sensei.kernels.library import available; assert available()[0] == {isa!r}"
    subprocess.run([sys.executable, "-c", code], check=True, env=limited)
    command = [sys.executable, "-m", "pytest", *TESTS, *options]
    done = subprocess.run(command, check=False, cwd=ROOT, env=limited, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:]
