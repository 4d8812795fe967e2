"""YAML files that people write: as YAML 1.2 reads them, so that `off` is a word, and no key stands twice."""

import re
from pathlib import Path
from typing import Any

import yaml

from sensei.core.errors import SenseiError

BOOL = "tag:yaml.org,2002:bool"


class Loader(yaml.SafeLoader):
    """Takes `true` and `false` for booleans, and no other word; refuses a mapping that has a key twice."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """The mapping of a node."""
        seen = set()
        for key, _ in node.value:
            if (key.tag, key.value) in seen:
                raise yaml.constructor.ConstructorError(None, None, f"the key {key.value} stands twice", key.start_mark)
            seen.add((key.tag, key.value) if isinstance(key, yaml.ScalarNode) else id(key))
        return super().construct_mapping(node, deep)


Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in known if tag != BOOL] for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
Loader.add_implicit_resolver(BOOL, re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF"))


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; anything else is an error that names the file."""
    try:
        content = yaml.load(Path(path).read_text(encoding="utf-8"), Loader)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise SenseiError(f"{path} is not YAML", found=where, hint="mend the line it names") from error
    if not isinstance(content, dict):
        raise SenseiError(f"{path}", found=type(content).__name__, expected="a mapping of keys to values")
    return content
