"""What studies name and nobody lists: environments, annotators, reward sources, agents and figures are found by their place.

A name is either the module of that name, anywhere in the room of its kind (`clip` is `sensei/annotators/clip/clip.py`), or
"package.module:Class", which may be in another repository. The module holds one class that derives from the room's base class. It is
imported to check a study, where neither torch nor a simulator need be installed: what is heavy is imported by the class when it is used.
"""

import ast
import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from sensei.core.errors import MachineError, SenseiError

PACKAGE = Path(__file__).resolve().parent.parent
WHERE = "is its package installed, or the folder it lies in on PYTHONPATH?"


def find(name: str, room: str, base: str, what: str) -> type[Any]:
    """The class behind a name.

    Args:
        name: of a module below `room`, or "package.module:Class".
        room: "sensei.annotators".
        base: name of the class that it derives from, directly, in its class statement.
        what: what messages call it: "annotator kind".

    Raises:
        SenseiError: there is none; the message names those there are.
    """
    module, attribute = _place(name, room, base, what)
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        if module.startswith("sensei."):
            raise
        raise SenseiError(f"there is no {what} {name}", found=error, hint=WHERE) from error
    except (Exception, SystemExit) as error:  # whatever somebody else's module does when it is imported
        raise SenseiError(f"{what} {name}: importing {module} fails", found=_described(error), hint=f"mend {module}") from error
    if base not in {parent.__name__ for parent in getattr(found, "__mro__", ())}:
        raise SenseiError(f"{name} is no {what}", expected=f"a class that derives from {base} of {room}")
    if unwritten := sorted(getattr(found, "__abstractmethods__", ())):
        raise SenseiError(f"{what} {name} is not complete", found=f"no {', '.join(unwritten)}", hint=f"write them, as {base} says")
    return found


def module_of(name: str, room: str, base: str, what: str) -> str:
    """The module behind a name, without importing it: for fingerprints, and to check names whose modules are heavy.

    Raises:
        SenseiError: there is none; the message names those there are.
    """
    return _place(name, room, base, what)[0]


def _place(name: str, room: str, base: str, what: str) -> tuple[str, str]:
    """(module, class) behind a name."""
    module, _, attribute = name.partition(":")
    if attribute:
        _look_here()
        return module, attribute
    places = _places(room, base)
    if name not in places:
        raise SenseiError(f"unknown {what}", found=name, expected=f"one of {', '.join(sorted(places))}, or package.module:Class")
    return places[name]


def stated(name: str, room: str, base: str, what: str) -> dict[str, Any]:
    """What the class behind a name says of itself in literals (`learns = False`), over what `base` says in `{room}.contract`.

    Read from the source, not imported: a study is checked where heavy modules cannot be imported.

    Raises:
        SenseiError: there is no such module or class.
    """
    module, attribute = _place(name, room, base, what)
    try:
        own = _literals(module, attribute)
    except (Exception, SystemExit) as error:  # the packages above it are imported
        raise SenseiError(f"{what} {name}: reading {module} fails", found=_described(error), hint=f"mend {module}") from error
    if own is None:
        raise SenseiError(f"there is no {what} {name}", hint=WHERE)
    return (_literals(f"{room}.contract", base) or {}) | own


def _described(error: BaseException) -> str:
    """An exception of somebody else's module, with the line if it is one of syntax."""
    return f"{type(error).__name__}: {error}"


@functools.cache
def _literals(module: str, name: str) -> dict[str, Any] | None:
    """Attributes of a class that are literals; None if there is no such module or class."""
    try:
        found = importlib.util.find_spec(module)
    except ModuleNotFoundError:
        return None
    if found is None or found.origin is None:
        return None
    tree = ast.parse(Path(found.origin).read_text(encoding="utf-8"))
    body = next((node.body for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name), None)
    if body is None:
        return None
    assigned = (node for node in body if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name))
    return {node.targets[0].id: node.value.value for node in assigned if isinstance(node.value, ast.Constant)}


def find_function(name: str) -> Callable[..., Any]:
    """The function that "NAME.py:function" or "package.module:function" names; its file is imported.

    Raises:
        SenseiError: there is no such file or function, or importing it fails.
    """
    path, attribute = source_of_function(name), name.rpartition(":")[2]
    try:
        if ".py:" in name:
            spec = importlib.util.spec_from_file_location(f"{path.stem} of {path.parent}", path)
            module = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
        else:
            module = importlib.import_module(name.rpartition(":")[0])
    except (Exception, SystemExit) as error:  # whatever somebody else's file does when it is imported
        raise SenseiError(f"function {name}: importing {path} fails", found=_described(error), hint=f"mend {path}") from error
    function = getattr(module, attribute, None)
    if not callable(function):
        raise SenseiError(f"there is no function {attribute} in {path}", hint=f"write it, or correct `function: {name}`")
    return function


def source_of_function(name: str) -> Path:
    """The file in which a function stands, without importing it.

    Raises:
        SenseiError: there is none, or the name is of another form.
    """
    where, _, attribute = name.rpartition(":")
    if not where or not attribute.isidentifier():
        raise SenseiError(f"{name!r} names no function", expected="NAME.py:function or package.module:function")
    if where.endswith(".py"):
        path = Path(where)
    else:
        _look_here()
        try:
            found = importlib.util.find_spec(where)
        except (Exception, SystemExit) as error:  # the packages above it are imported
            raise SenseiError(f"function {name}: reading {where} fails", found=_described(error), hint=WHERE) from error
        if found is None or found.origin is None:
            raise SenseiError(f"there is no module {where}", hint=WHERE)
        path = Path(found.origin)
    if not path.is_file():
        raise SenseiError(f"there is no file {path}", hint=f"correct `function: {name}`")
    return path


def _look_here() -> None:
    """Let modules be found where the command line was started: a study's own lie there."""
    if str(Path.cwd()) not in sys.path:
        sys.path.append(str(Path.cwd()))


def missing_packages(who: str, *packages: str) -> Iterator[MachineError]:
    """One error for each package that is not installed and that `who` needs; none is imported."""
    for package in packages:
        if importlib.util.find_spec(package) is None:
            yield MachineError(f"{who} need the Python module {package}", hint="pip install -r requirements.lock")


def names(room: str, base: str) -> list[str]:
    """Every name that is found by its place."""
    return sorted(_places(room, base))


@functools.cache
def _places(room: str, base: str) -> dict[str, tuple[str, str]]:
    """Name -> (module, class) of every module below `room` with exactly one class that derives from `base`."""
    folder, found = PACKAGE.joinpath(*room.split(".")[1:]), {}
    for path in sorted(folder.rglob("*.py")):
        classes = [
            node.name
            for node in ast.parse(path.read_text(encoding="utf-8")).body
            if isinstance(node, ast.ClassDef) and any(isinstance(parent, ast.Name) and parent.id == base for parent in node.bases)
        ]
        if len(classes) == 1:
            module = ".".join(("sensei", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__")
            found[module.rpartition(".")[2]] = module, classes[0]
    return found
