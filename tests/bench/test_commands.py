"""The command line knows every benchmark and imports none before it is asked for one."""

import pytest
from helpers import run_python
from typer.main import get_command

from sensei.bench import COMMANDS, app


@pytest.mark.parametrize("name", COMMANDS)
def test_every_benchmark_is_a_command(name):
    group = get_command(app)
    assert group.get_command(None, name).name == name
    assert name in group.list_commands(None)


def test_an_unknown_benchmark_is_none(tmp_path):
    done = run_python("-m", "sensei", "bench", "speed", cwd=tmp_path)
    assert done.returncode == 2 and "No such command 'speed'" in done.stderr


def test_the_command_line_imports_no_benchmark_before_it_is_asked_for_one(tmp_path):
    code = """
import sys
from sensei.cli.main import app
try:
    app(["--help"])
except SystemExit:
    pass
print([name for name in sys.modules if name.startswith("sensei.bench.") or name in ("psutil", "torch")])
"""
    done = run_python("-c", code, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
    assert "bench" in done.stdout
