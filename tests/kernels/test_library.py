"""The library of kernels: compiled once, shared out among threads, done without where it cannot be had."""

import subprocess
import sys

import pytest
import torch
from fakes.agents import dreamer
from fakes.both_ways import arrays, assert_close, both_ways, leaf, refuse
from fakes.scans import SCANS, scan
from helpers import environment

from sensei.core.files import read_json, sha256
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
    monkeypatch.setattr(library, "load", refuse)
    dreamer(True, "explore", compile="off").update(arrays(True))
    with pytest.raises(AssertionError, match="a kernel was called"):
        dreamer(True, "explore", compile="auto").update(arrays(True))


@pytest.fixture
def fresh(tmp_path, monkeypatch):
    """An empty cache folder, and nothing loaded."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    library.load.cache_clear()
    choice.everything.cache_clear()
    yield tmp_path
    library.load.cache_clear()
    choice.everything.cache_clear()


def test_without_a_compiler_pytorch_does_it_and_the_log_says_so_in_one_line(fresh, monkeypatch, caplog):
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    layer, x = NormSiLU(16), leaf(3, 16)
    with choice.taking(choice.everything()):
        assert_close(*both_ways(lambda: layer(x), x))
    assert not choice.everything().ours & choice.IN_C
    assert len(caplog.messages) == 1 and "no C compiler" in caplog.messages[0] and "\n" not in caplog.messages[0]


def test_a_compiler_that_fails_is_no_error(fresh, monkeypatch, caplog):
    monkeypatch.setenv("CC", "false")
    assert library.load("plain") is None and "cannot be compiled" in caplog.text
    assert not list(fresh.rglob("*.so")) and not list(fresh.rglob("*.o"))


def test_processes_that_compile_at_once_all_get_the_kernels(fresh):
    code = "from sensei.kernels.choice import everything; assert everything().instructions"
    processes = [subprocess.Popen([sys.executable, "-c", code], env=environment()) for _ in range(2)]
    assert [process.wait() for process in processes] == [0, 0]
    assert len(list(fresh.rglob("*.so"))) == 1 and not list(fresh.rglob(".*"))


@pytest.mark.parametrize("damage", ["cut short", "another file", "card gone", "card damaged"])
def test_a_damaged_or_foreign_library_is_built_again_and_never_loaded(fresh, damage):
    path = library.build("plain")
    whole, card = path.read_bytes(), path.with_suffix(".json")
    match damage:
        case "cut short":
            path.write_bytes(whole[: len(whole) // 2])
        case "another file":
            path.write_bytes(b"\x7fELF of another machine")
        case "card gone":
            card.unlink()
        case "card damaged":
            card.write_text("{")
    assert library.load("plain") is not None
    assert path.read_bytes() == whole
    assert read_json(card)["sha256"] == sha256(path)
