"""The tests of kernels use all of them, whatever pays on this machine."""

import pytest

from sensei.kernels import choice


@pytest.fixture(autouse=True)
def all_ours():
    """Ours computes all it can."""
    with choice.taking(choice.everything()):
        yield


@pytest.fixture
def in_c():
    """Skips where no C compiler is."""
    if choice.everything().instructions is None:
        pytest.skip("no C compiler")
