"""The library of kernels: compiled once, shared out among threads, done without where it cannot be had."""

import subprocess
import sys

import pytest
import torch
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_close, both_ways, leaf, refuse
from fakes.scans import SCANS, scan
from helpers import environment

from sensei.kernels import choice, library
from sensei.world_model.networks import NormSiLU, Up

pytestmark = pytest.mark.usefixtures("in_c")


def test_threads_change_no_more_than_the_order_of_sums(monkeypatch):
    monkeypatch.setattr(library, "GRAIN", 0)
    up, layer, map, x = Up(8, 3, bias=True), NormSiLU(8), leaf(5, 8, 8, 8), leaf(31, 8)
    observe, *leaves = scan(*SCANS[0])
    before, results = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 2):
            torch.set_num_threads(threads)
            parts = [both_ways(lambda: up(map), map, *up.parameters()), both_ways(lambda: layer(x), x, *layer.parameters())]
            results.append([part for ours, _ in [*parts, both_ways(observe, *leaves)] for part in ours])
    finally:
        torch.set_num_threads(before)
    assert_close(results[0], results[1])
    assert all(first.equal(second) for first, second in zip(results[1], results[2], strict=True))


def test_compile_off_is_plain_pytorch(monkeypatch):
    monkeypatch.setattr(choice, "compiled", refuse)
    dreamer(True, "explore", compile="off").update(arrays(True))
    with pytest.raises(AssertionError, match="a kernel was called"):
        dreamer(True, "explore", compile="auto").update(arrays(True))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.compiled.cache_clear()
    yield tmp_path
    library.compiled.cache_clear()


def test_without_a_compiler_pytorch_does_it_and_the_log_says_so(fresh, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    layer, x = NormSiLU(16), leaf(3, 16)
    assert_close(*both_ways(lambda: layer(x), x))
    assert library.compiled() is None and caplog.text.count("no C compiler") == 1


def test_a_compiler_that_fails_is_no_error(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CC", "false")
    assert library.compiled() is None and "cannot be compiled" in caplog.text
    assert not list(fresh.rglob("*.so")) and not list(fresh.rglob("*.o"))


def test_processes_that_compile_at_once_all_get_the_kernels(fresh):
    code = "from sensei.kernels.library import compiled; assert compiled() is not None"
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment()) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(fresh.rglob("*"))) == 2  # the folder and one library
