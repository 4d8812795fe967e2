"""Random streams, atomic files and the one exception."""

import errno
import os
import pickle
import signal
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.core.faults import explained
from sensei.core.files import atomic, read_json, sha256, write_json, writing
from sensei.core.rng import generator, integer_seed, torch_generator

# Random streams -------------------------------------------------------------------------------------------------------


def test_a_stream_does_not_depend_on_the_streams_before_it():
    alone = generator(3, "replay").random(4)
    generator(3, "other").random(100)
    np.random.default_rng(0).random(7)
    torch.manual_seed(5)
    assert np.array_equal(alone, generator(3, "replay").random(4))


def test_streams_are_the_same_on_every_machine():
    """Fixed numbers: a change of them changes every result."""
    assert generator(0, "worker", 1).integers(1000, size=4).tolist() == [996, 20, 60, 971]
    assert integer_seed(7, "episode", 12) == 739771111112877007


@given(st.integers(0, 2**32), st.lists(st.one_of(st.integers(0, 99), st.text("ab", min_size=1, max_size=3)), min_size=1, max_size=3))
def test_other_names_or_seeds_give_other_streams(seed, names):
    assert integer_seed(seed, *names) != integer_seed(seed + 1, *names)
    assert integer_seed(seed, *names) != integer_seed(seed, *names, "more")
    assert integer_seed(seed, *names) == integer_seed(seed, *map(str, names))
    assert 0 <= integer_seed(seed, *names) < 2**63


def test_order_of_names_matters():
    assert integer_seed(0, "a", "b") != integer_seed(0, "b", "a")


def test_streams_of_many_workers_and_seeds_never_coincide():
    seeds = {integer_seed(s, "train", "worker", w, "episode", k) for s in range(5) for w in range(8) for k in range(50)}
    assert len(seeds) == 5 * 8 * 50


def test_torch_streams_are_named_too():
    first, second = torch_generator(1, "act"), torch_generator(1, "act")
    assert torch.equal(torch.rand(3, generator=first), torch.rand(3, generator=second))
    assert not torch.equal(torch.rand(3, generator=torch_generator(1, "imagine")), torch.rand(3, generator=torch_generator(1, "act")))


# The exception --------------------------------------------------------------------------------------------------------


def test_message_says_what_was_found_expected_and_what_to_do():
    error = SenseiError("percentile", found=120, expected="at most 100", hint="lower it")
    assert str(error) == "percentile: found 120, expected at most 100\n-> lower it"
    assert str(SenseiError("percentile")) == "percentile"
    assert str(SenseiError("percentile", found=0)) == "percentile: found 0"


@pytest.mark.parametrize("keys", [{}, {"found": 0}, {"found": "a", "expected": (1, 2), "hint": "do"}])
def test_errors_survive_pickling(keys):
    error = SenseiError("what", **keys)
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is SenseiError
    assert str(again) == str(error)
    assert (again.what, again.found, again.expected, again.hint) == (error.what, error.found, error.expected, error.hint)


def _fail():
    raise SenseiError("in a worker", found=3, hint="look there")


def test_errors_come_back_from_another_process_whole():
    with (
        ProcessPoolExecutor(1, mp_context=get_context("fork")) as pool,
        pytest.raises(SenseiError, match="in a worker: found 3\n-> look there"),
    ):
        pool.submit(_fail).result()


# Atomic files ---------------------------------------------------------------------------------------------------------


def test_a_file_appears_whole(tmp_path):
    path = tmp_path / "deep" / "result.json"
    write_json(path, {"b": 1, "a": [1, 2]})
    assert read_json(path) == {"a": [1, 2], "b": 1}
    assert [file.name for file in path.parent.iterdir()] == ["result.json"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="half-way"), atomic(path) as temporary:
        temporary.write_text("new, but not fini")
        raise RuntimeError("half-way")
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["table.csv"]


def test_a_failure_leaves_nothing_where_nothing_was(tmp_path):
    with pytest.raises(TypeError):
        write_json(tmp_path / "x.json", {"not json": object()})
    assert not list(tmp_path.iterdir())


def test_a_file_is_replaced_not_written_over(tmp_path):
    """Whoever has the old file open, or linked (as collections link episodes), keeps it whole."""
    path, link = tmp_path / "episode.npz", tmp_path / "linked.npz"
    path.write_text("old")
    link.hardlink_to(path)
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert (path.read_text(), link.read_text()) == ("new", "old")


def test_the_temporary_file_keeps_the_suffix_and_the_folder(tmp_path):
    """Writers choose the format by the suffix, and a rename is atomic only within one file system."""
    with atomic(tmp_path / "frames.tar.gz") as temporary:
        assert temporary.name.endswith(".tar.gz")
        assert temporary.parent == tmp_path
        temporary.write_bytes(b"1")


WRITER = """
import sys, time
from sensei.core.files import atomic
with atomic(sys.argv[1]) as temporary:
    with open(temporary, "w") as file:
        file.write("half of it")
        file.flush()
        print("half", flush=True)
        time.sleep(60)
"""


@pytest.mark.parametrize("old", [None, "the old content"])
def test_a_killed_writer_leaves_the_file_as_it_was(tmp_path, old):
    path = tmp_path / "agent.pt"
    if old is not None:
        path.write_text(old)
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True)
    assert writer.stdout.readline() == "half\n"
    writer.send_signal(signal.SIGKILL)
    assert writer.wait(timeout=10) == -signal.SIGKILL
    writer.stdout.close()
    assert (path.read_text() if path.exists() else None) == old
    with atomic(path) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


@pytest.mark.parametrize("number, words", [(errno.ENOSPC, "is full"), (errno.EROFS, "read-only"), (errno.EIO, "fails")])
def test_what_the_system_refuses_is_told_and_leaves_nothing(tmp_path, number, words):
    with pytest.raises(OSError) as error, atomic(tmp_path / "agent.pt") as temporary:
        temporary.write_text("hal")
        raise OSError(number, os.strerror(number))
    told = str(explained(error.value))
    assert words in told and "agent.pt" in told and len(told.splitlines()) <= 2
    assert not list(tmp_path.iterdir())


def test_a_mistake_of_ours_stays_one(tmp_path):
    with pytest.raises(FileNotFoundError), atomic(tmp_path / "agent.pt"):
        (tmp_path / "absent").read_text()


def test_a_full_disk_is_named(tmp_path):
    """The system's own."""
    with pytest.raises(OSError) as error, writing(tmp_path), open("/dev/full", "w") as file:
        file.write("x")
    assert f"the disk is full: no space is left at {tmp_path}" in str(explained(error.value))


def test_damaged_json_is_an_error_that_names_the_file(tmp_path):
    (tmp_path / "card.json").write_text('{"a": 1')
    with pytest.raises(SenseiError, match=r"card\.json is damaged"):
        read_json(tmp_path / "card.json")


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
