"""Stages that crash at a chosen moment: `crash.c` between them and the disk, one process for each attempt.

A nursery process imports and reads everything once; every attempt is a fork of it, so that thousands can be made.
"""

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
from enum import IntEnum
from pathlib import Path
from typing import NamedTuple

from helpers import ROOT, environment

from sensei.core.files import sha256
from sensei.core.provenance import closure

SOURCE = Path(__file__).with_name("crash.c")
IMPORTS = (
    "sensei.cli.main",
    "sensei.training.runs",
    "sensei.agents.dreamer",
    "sensei.agents.ppo",
    "sensei.agents.random",
    "sensei.reward.distil",
    "sensei.reward.scorer",
    "sensei.analysis.report",
    "sensei.analysis.tables",
    "sensei.analysis.scores",
    "sensei.analysis.figures.registry",
    "sensei.annotators.shards",
    "sensei.annotators.vlm.openai.openai_api",
    "sensei.preferences.labels",
    "sensei.preferences.pairs",
    "sensei.replay.episodes",
    "torch._dynamo",  # which Adam imports when it is made
)


class Crash(IntEnum):
    """What happens at the chosen operation, as in crash.c."""

    NOTHING = 0
    KILL = 1  # before it
    TEAR = 2  # after half of a write
    FULL = 3  # it and whatever comes after it finds no room
    FAULT = 4  # it fails, once


AT = {Crash.KILL: "wasrcu", Crash.TEAR: "w", Crash.FULL: "wac", Crash.FAULT: "wasrcu"}  # operations at which each can happen


class Attempt(NamedTuple):
    """How a stage ended: exit code (negative: signal), what it said, and its operations (w: write, a: allocation, s: flush, r: rename,
    c: creation, u: deletion).
    """

    code: int
    said: str
    operations: str


class Nursery:
    """Carries out stages, each in a process that may crash.

    Args:
        folder: working directory of the stages.
        below: the folder whose operations are numbered.
        variables: further variables of their environment.
    """

    def __init__(self, folder: Path, below: Path, variables: dict[str, str] | None = None):
        self.folder, self.below = folder, below
        self.library = Path(tempfile.mkdtemp()) / "crash.so"
        subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", self.library, SOURCE, "-ldl"], check=True)
        settings = (
            environment() | (variables or {}) | {"LD_PRELOAD": str(self.library), "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
        )
        command = [sys.executable, "-m", "fakes.crashing", str(self.library)]
        self.process = subprocess.Popen(command, env=settings, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def attempt(self, words: list[str], crash: Crash = Crash.NOTHING, at: int = -1) -> Attempt:
        """Carry out `sensei WORDS`."""
        about = {"words": words, "folder": str(self.folder), "below": str(self.below), "crash": crash, "at": at}
        print(json.dumps(about), file=self.process.stdin, flush=True)
        return Attempt(**json.loads(self.process.stdout.readline()))

    def close(self) -> None:
        """End the nursery."""
        self.process.stdin.close()
        self.process.wait()
        self.process.stdout.close()
        shutil.rmtree(self.library.parent)


def content(results: Path) -> dict[str, str]:
    """Checksum of every file below a folder; logs and the ledger apart, and what no seed determines of manifests."""
    found = {}
    for path in results.rglob("*"):
        if path.name.endswith(".manifest.json"):
            said = {**json.loads(path.read_text()), "wall_seconds": 0, "commit": None}
            said.pop("checksum", None)  # of the others
            found[str(path.relative_to(results))] = json.dumps(said)
        elif (
            path.is_file()
            and path.name != "timing.jsonl"
            and path.suffix not in (".log", ".sqlite", ".sqlite-wal", ".sqlite-shm", ".sqlite-journal")
        ):
            found[str(path.relative_to(results))] = sha256(path)
    return found


def serve(library: ctypes.CDLL) -> None:
    """Fork for every line of stdin, and tell how it went."""
    for line in sys.stdin:
        about = json.loads(line)
        with tempfile.TemporaryDirectory() as folder:
            said, operations = Path(folder) / "said", Path(folder) / "operations"
            if (child := os.fork()) == 0:
                carry_out(library, about, said, operations)
            _, status = os.waitpid(child, 0)
            result = Attempt(
                os.waitstatus_to_exitcode(status), said.read_text(errors="replace"), operations.read_text() if operations.exists() else ""
            )
        print(json.dumps(result._asdict()), flush=True)


def carry_out(library: ctypes.CDLL, about: dict, said: Path, operations: Path) -> None:
    """In the child: be the command, then end."""
    import traceback

    from sensei.cli.main import main

    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    null = os.open(os.devnull, os.O_RDWR)
    for target, source in ((0, null), (1, descriptor), (2, descriptor)):
        os.dup2(source, target)
    code = 0
    try:
        os.chdir(about["folder"])
        sys.argv = ["sensei", *about["words"]]
        library.crash_arm(about["below"].encode(), about["at"], about["crash"])
        main()
    except SystemExit as error:
        code = error.code or 0
    except BaseException:
        traceback.print_exc()
        code = 1
    finally:
        operations.write_bytes(library.crash_trace())
        sys.stderr.flush()
        os._exit(code if isinstance(code, int) else 1)


if __name__ == "__main__":
    import importlib

    for module in IMPORTS:
        importlib.import_module(module)
    closure(name for name in IMPORTS if name.startswith("sensei."))  # reads the code that manifests name
    loaded = ctypes.CDLL(sys.argv[1])
    loaded.crash_arm.argtypes, loaded.crash_trace.restype = (ctypes.c_char_p, ctypes.c_long, ctypes.c_int), ctypes.c_char_p
    serve(loaded)
