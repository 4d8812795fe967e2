"""What the machine refuses is a sentence: real full disks, real folders, real processes."""

import os
import resource
import signal
import subprocess
import sys

import pytest
from helpers import environment, run_python

from sensei.core.errors import LONGEST_LINE, LONGEST_TEXT, LONGEST_VALUE, MachineError, SenseiError, quoted
from sensei.core.faults import explained, signal_hint


@pytest.fixture
def full(tmp_path):
    """A folder of a real file system of half a megabyte, with a study's file in it and nearly no room left."""
    folder = tmp_path / "full"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=512k", "tmpfs", folder], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield folder
    subprocess.run(["umount", folder], check=True)


WRITERS = {
    "bytes": "open('out', 'wb').write(bytes(10**6))",
    "atomic": "from sensei.core.files import write_json; write_json('out.json', 'x' * 10**6)",
    "numpy": "import numpy; numpy.save('out.npy', numpy.zeros(10**6))",
    "parquet": "import numpy, pandas; pandas.DataFrame({'a': numpy.random.default_rng(0).random(10**6)}).to_parquet('out.parquet')",
    "torch": "import torch; torch.save(torch.zeros(10**6), 'out.pt')",
    "safetensors": "import torch; from safetensors.torch import save_file; save_file({'a': torch.zeros(10**6)}, 'out.safetensors')",
    "sqlite": "import sqlite3; data = sqlite3.connect('data'); data.execute('create table t as select zeroblob(1000000)'); data.commit()",
    "picture": "import os; from PIL import Image; Image.frombytes('L', (900, 900), os.urandom(810000)).save('out.png')",
}
TELL = """
from sensei.core.faults import explained
try:
    {}
except Exception as error:
    print(repr(explained(error)))
"""


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_called_full_by_whoever_writes(writer, full):
    statements = WRITERS[writer].split("; ")
    result = run_python("-c", TELL.format("\n    ".join(statements)), cwd=full)
    assert "MachineError('the disk is full" in result.stdout, result.stdout + result.stderr


def test_a_command_on_a_full_disk_says_so_in_two_lines(full, write_study):
    (full / "filler").write_bytes(bytes(512 * 1024 - 4096))
    result = run_python("-m", "sensei", "study", write_study(), "results/smoke/study.yaml", cwd=full)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert 1 <= len(result.stderr.splitlines()) <= 5 and "full" in result.stderr, result.stderr
    assert not list(full.rglob("study.yaml*"))


def test_a_limit_on_the_size_of_files_is_named(tmp_path, write_study):
    def limit():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    command = [sys.executable, "-m", "sensei", "study", str(write_study()), "out/study.yaml"]
    result = subprocess.run(command, cwd=tmp_path, env=environment(), preexec_fn=limit, capture_output=True, text=True, check=False)
    assert result.returncode == 2 and "ulimit -f" in result.stderr and "Traceback" not in result.stderr, result.stderr


def test_a_read_only_folder_is_named(tmp_path, write_study):
    folder = tmp_path / "fixed"
    folder.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", folder], capture_output=True, check=False).returncode != 0:
        pytest.skip("mounting needs root")
    try:
        result = run_python("-m", "sensei", "study", write_study(), folder / "results/smoke/study.yaml", cwd=tmp_path)
    finally:
        subprocess.run(["umount", folder], check=True)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 1, result.stderr
    assert str(folder) in result.stderr and "read-only" in result.stderr


def fails(function) -> SenseiError | None:
    try:
        function()
    except Exception as error:
        return explained(error)
    raise AssertionError("it did not fail")


def chained():
    try:
        os.open("/nowhere/at/all", os.O_WRONLY | os.O_CREAT)
    except OSError as error:
        raise RuntimeError("the library gives up") from error


def test_folders_and_files_in_each_others_place_are_named(tmp_path):
    (tmp_path / "file").touch()
    (tmp_path / "circle").symlink_to(tmp_path / "circle")
    for function, words in (
        (tmp_path.read_bytes, ["is a folder, expected a file"]),
        (lambda: (tmp_path / "file" / "below").write_text(""), ["file, expected a folder"]),
        ((tmp_path / "circle").read_bytes, ["circle"]),
        ((tmp_path / ("a" * 300)).touch, ["too long"]),
        (chained, ["/nowhere/at/all", "no such file"]),
        (lambda: bytes(10**18), ["memory ran out", "batch_size"]),
        (lambda: __import__("no_such_package"), ["no_such_package", "not installed"]),
    ):
        told = fails(function)
        assert isinstance(told, MachineError) and len(str(told).splitlines()) <= 2
        assert not [word for word in words if word not in str(told)], told


@pytest.mark.parametrize("ours", [KeyError("x"), AssertionError("no"), ValueError("odd"), TypeError("int"), ZeroDivisionError()])
def test_our_own_faults_keep_their_traceback(ours):
    assert explained(ours) is None


def test_too_many_open_files(tmp_path):
    code = "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (20, 20)); files = [open('f', 'w') for _ in range(99)]"
    result = run_python("-c", TELL.format("\n    ".join(code.split("; "))), cwd=tmp_path)
    assert "too many files are open" in result.stdout and "ulimit -n" in result.stdout, result.stdout + result.stderr


def test_signals_say_what_a_process_has_met(monkeypatch, tmp_path):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert str(tmp_path) in signal_hint(signal.SIGBUS) and "TMPDIR" in signal_hint(signal.SIGBUS)
    assert "memory" in signal_hint(signal.SIGKILL)


def test_workers_ask_for_their_memory_at_once(full, monkeypatch):
    from fakes.counting import CONFIG

    from sensei.envs.vector.environment import VectorEnvironment

    monkeypatch.setattr("tempfile.tempdir", str(full))
    with pytest.raises(MachineError, match=rf"the temporary folder {full} has no room for \d+ bytes.*\n.*TMPDIR"):
        VectorEnvironment(CONFIG, 512, 0, "train", 2)


def test_a_value_is_quoted_to_80_letters_in_one_line():
    assert len(quoted("x" * 1000)) == LONGEST_VALUE and quoted("x" * 1000).endswith(" ...")
    assert "\n" not in str(SenseiError("what", found="a\nb\n" * 100))
    assert len(str(SenseiError("what", found="a\nb\n" * 1000))) == len("what: found ") + LONGEST_TEXT
    assert len(str(SenseiError(f"no method {'x' * 10**6}"))) <= LONGEST_LINE


def test_output_that_nobody_reads_is_no_error(tmp_path):
    shell = f"{sys.executable} -m sensei --help | head -1; exit ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", shell], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert "Traceback" not in result.stderr and "BrokenPipe" not in result.stderr
