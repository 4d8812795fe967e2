"""YAML files that people write, read strictly: a word is a word, a key stands once, and no file is large enough to wait for.

Of YAML 1.2's core schema, so that `off`, `no`, `010`, `0x1F`, `1:30` and `2024-01-01` are text, which a schema that wants a number or a
boolean refuses, and `1e-4` is a number. Keys are text always. Tags (`!!binary`) and files that grow when they are read (aliases of
aliases) are refused.
"""

import re
import stat
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from sensei.core.errors import SenseiError

LARGEST = 200_000  # bytes; the resolved study of the whole paper has a tenth
DEEPEST = 40  # mappings and lists inside each other; a study has 8
MOST_VALUES = 20_000  # with what aliases repeat

TAG = "tag:yaml.org,2002:"
INTEGER = r"[-+]?(0|[1-9][0-9]{0,17}|[1-9][0-9]{0,2}(_[0-9]{3}){1,5})"
DECIMAL = r"[-+]?((0|[1-9][0-9]*)(\.[0-9]*([eE][-+]?[0-9]+)?|[eE][-+]?[0-9]+)|\.[0-9]+([eE][-+]?[0-9]+)?|\.(inf|Inf|INF))|\.(nan|NaN|NAN)"
PATTERNS = {
    "null": (r"~|null|Null|NULL|", ["~", "n", "N", ""]),
    "bool": (r"true|True|TRUE|false|False|FALSE", list("tTfF")),
    "int": (INTEGER, list("-+0123456789")),
    "float": (DECIMAL, list("-+.0123456789")),
    "merge": (r"<<", ["<"]),
}


class Loader(yaml.SafeLoader):
    """What this module says of itself."""

    yaml_implicit_resolvers: dict[str, Any] = {}

    def __init__(self, text: str):
        super().__init__(text)
        self.depth = self.values = 0
        self.sizes: dict[yaml.Node, int] = {}  # of every node that is complete, with what its aliases repeat

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """The node that comes next."""
        event = self.peek_event()
        mark, before, repeated = event.start_mark, self.values, isinstance(event, yaml.AliasEvent)
        if getattr(event, "tag", None) is not None:
            raise fault(f"the tag {event.tag.replace(TAG, '!!')} is not for files like this one; write the value without it", mark)
        self.depth += 1
        if self.depth > DEEPEST:
            raise fault(f"it is nested more than {DEEPEST} deep", mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        if repeated and node not in self.sizes:
            raise fault(f"the alias *{event.anchor} stands inside what it repeats", mark)
        self.values += self.sizes[node] if repeated else 1
        if self.values > MOST_VALUES:
            raise fault(f"it has more than {MOST_VALUES} values, with what its aliases repeat", mark)
        if not repeated:
            self.sizes[node] = self.values - before
        return node

    def compose_mapping_node(self, anchor: str | None) -> yaml.MappingNode:
        """A mapping, whose keys are text and stand once."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise fault("a list or a mapping is used as a key", key.start_mark)
            if key.value in seen:
                raise fault(f"the key {key.value[:40]} stands twice; leave one", key.start_mark)
            seen.add(key.value)
            if key.tag != f"{TAG}merge":
                key.tag = f"{TAG}str"
        return node


class Dumper(yaml.SafeDumper):
    """Quotes text that this reader or one of YAML 1.1 would take for something else."""

    yaml_implicit_resolvers = {first: list(known) for first, known in yaml.SafeDumper.yaml_implicit_resolvers.items()}


for kind, (pattern, firsts) in PATTERNS.items():
    for each in (Loader, Dumper):
        each.add_implicit_resolver(f"{TAG}{kind}", re.compile(f"({pattern})$"), firsts)
Loader.add_constructor(f"{TAG}merge", Loader.construct_yaml_str)  # as a value it is a word


def fault(what: str, mark: yaml.Mark) -> yaml.MarkedYAMLError:
    """What is wrong at a place of a file."""
    return yaml.MarkedYAMLError(problem=what, problem_mark=mark)


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping.

    Raises:
        SenseiError: the file is not there, no text, or none that this module reads; the message names file, line and remedy.
    """
    content = parse_yaml(_text(Path(path)), str(path))
    if not isinstance(content, dict):
        found = "nothing" if content is None else f"{type(content).__name__} {str(content)[:40]!r}"
        raise SenseiError(f"{path} is no file of settings", found=found, expected="keys with values", hint="name a YAML file of settings")
    return content


def parse_yaml(text: str, source: str) -> Any:
    """The value of a text.

    Args:
        source: what messages call it.

    Raises:
        SenseiError: it is not YAML as this module reads it.
    """
    return _read(text, source, Loader.get_single_data)


def typed(value: Any) -> Any:
    """A value of which every number, boolean and null is a text, such as a reader without types gives it, with their types."""
    if isinstance(value, Mapping):
        return {key: typed(part) for key, part in value.items()}
    if isinstance(value, list):
        return [typed(part) for part in value]
    if not isinstance(value, str):
        return value
    loader = Loader("")
    return loader.construct_object(yaml.ScalarNode(loader.resolve(yaml.ScalarNode, value, (True, False)), value))


def dump_yaml(value: Any) -> str:
    """`value` as text that `parse_yaml` reads as the same."""
    return yaml.dump(value, Dumper=Dumper, sort_keys=False)


def line_of(path: str | Path, keys: tuple[Any, ...], value: Any) -> int | None:
    """The line, from 1, at which a file gives `value` to keys that end with `keys`; None if it does not, or there is no such file."""
    try:
        places = _read(_text(Path(path)), str(path), _places)
    except SenseiError:
        return None
    return next((line for found, line, given in places if keys and found[-len(keys) :] == keys and given == value), None)


def _places(loader: Loader) -> list[tuple[tuple[Any, ...], int, Any]]:
    """(keys, line, value) of everything in a file."""

    def below(node: yaml.Node | None, above: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int, Any]]:
        parts: list[tuple[Any, yaml.Node, yaml.Node]] = []
        if isinstance(node, yaml.MappingNode):
            parts = [(key.value, key, value) for key, value in node.value]
        elif isinstance(node, yaml.SequenceNode):
            parts = [(index, value, value) for index, value in enumerate(node.value)]
        for name, place, value in parts:
            yield (*above, name), place.start_mark.line + 1, loader.construct_object(value, deep=True)
            yield from below(value, (*above, name))

    return list(below(loader.get_single_node(), ()))


def _read(text: str, source: str, read: Any) -> Any:
    """What `read` takes from a loader of `text`."""
    try:
        return read(Loader(text))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(part for part in (error.context, error.problem) if part)
        raise SenseiError(f"{source}, line {mark.line + 1}: {' '.join(what.split())[:200]}", hint=f"mend line {mark.line + 1}") from error
    except yaml.reader.ReaderError as error:
        found = f"the character U+{error.character:04X}"
        raise SenseiError(f"{source} is not YAML", found=found, expected="text", hint="save it as plain text in UTF-8") from error


def _text(path: Path) -> str:
    """The text of a file."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise SenseiError(f"{path} is a folder", expected="a YAML file", hint="name a file in it")
        if not stat.S_ISREG(mode):  # nobody may ever write into a pipe, and a device has no end
            raise SenseiError(f"{path} is a pipe or a device", expected="a YAML file", hint="write it to a file first")
        with open(path, "rb") as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}") from error
    except OSError as error:
        raise SenseiError(f"{path} cannot be read", found=error.strerror) from error
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        found = f"byte 0x{content[error.start]:02X} at position {error.start}"
        raise SenseiError(f"{path} is no text", found=found, expected="YAML in UTF-8", hint="name a YAML file") from error
    if len(content) > LARGEST:
        raise SenseiError(f"{path} is too large for a YAML file of settings", expected=f"at most {LARGEST} bytes")
    return text
