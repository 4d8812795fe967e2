"""A server that does everything wrong that servers do, where the annotator looks for it."""

import pytest
from fakes.asking import SECRET, told

from sensei.bench.openai_server import running


@pytest.fixture(scope="package")
def server():
    with running(batch_seconds=0.1) as address:
        yield address


@pytest.fixture
def address(server, monkeypatch):
    """A server without faults that has counted nothing."""
    told(server, {})
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    return server
