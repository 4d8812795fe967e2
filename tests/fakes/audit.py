"""Which files a process and all its children read: a `sitecustomize` with an audit hook on `open`, for readers in C with a wrapper."""

import json
import os
from pathlib import Path

SITE = '''
import atexit, importlib.abc, importlib.machinery, os, sys

log = os.environ["SENSEI_AUDIT"]
busy = False

def note(path):
    global busy
    if busy or isinstance(path, int):
        return
    busy = True
    try:
        descriptor = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        os.write(descriptor, (os.path.abspath(os.fsdecode(path)) + "\\n").encode())
        os.close(descriptor)
    finally:
        busy = False

def hook(event, arguments):
    if event == "open" and not busy:
        path, mode, flags = arguments
        reads = (mode is None and not flags & (os.O_WRONLY | os.O_RDWR)) or (mode is not None and not set(mode) & set("wax"))
        if reads and isinstance(path, (str, bytes, os.PathLike)):
            note(path)

sys.addaudithook(hook)

def loaded():
    with open(log + ".modules", "a") as file:
        file.writelines(name + "\\n" for name in sys.modules if name.startswith("sensei."))

atexit.register(loaded)

class Wrapping(importlib.abc.MetaPathFinder):
    """Notes what readers in C are given, which open files without Python's knowledge."""

    readers = {"pandas.io.parquet": "read_parquet", "safetensors": "safe_open"}

    def find_spec(self, name, path=None, target=None):
        if name not in self.readers:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        execute = spec.loader.exec_module

        def exec_module(module):
            execute(module)
            reader = getattr(module, self.readers[name])
            setattr(module, self.readers[name], lambda path, *rest, **named: (note(path), reader(path, *rest, **named))[1])

        spec.loader.exec_module = exec_module
        return spec

sys.meta_path.insert(0, Wrapping())
'''


def audited(folder: Path, environment: dict[str, str]) -> tuple[dict[str, str], Path]:
    """The process environment of an audited command, and the file in which its reads will stand."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    (site / "sitecustomize.py").write_text(SITE)
    log = folder / "read.txt"
    log.unlink(missing_ok=True)
    return environment | {"PYTHONPATH": os.pathsep.join([str(site), environment["PYTHONPATH"]]), "SENSEI_AUDIT": str(log)}, log


def read_below(log: Path, *folders: Path) -> set[Path]:
    """The existing files below `folders` that were read."""
    paths = {Path(line) for line in log.read_text().splitlines()}
    return {path for path in paths if path.is_file() and any(path.is_relative_to(folder) for folder in folders)}


def modules_loaded(log: Path) -> set[str]:
    """Modules of the package that the processes had imported when they ended."""
    return set(Path(f"{log}.modules").read_text().split())


def manifest_inputs(output: Path, project: Path) -> tuple[set[Path], dict[Path, Path]]:
    """(files, folders with the input that names their content) that the manifest of an output names."""

    def place(name: str) -> Path:
        return project / name if name.startswith("config/") else Path(os.path.abspath(output.parent / name))

    made = json.loads(Path(f"{output}.manifest.json").read_text())
    return {place(name) for name in made["inputs"]}, {place(folder): place(index) for folder, index in made["folders"].items()}
