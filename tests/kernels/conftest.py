"""The tests of kernels need the kernels."""

import pytest

from sensei.kernels.library import compiled


@pytest.fixture
def in_c():
    """Skips where no C compiler is."""
    if compiled() is None:
        pytest.skip("no C compiler")
