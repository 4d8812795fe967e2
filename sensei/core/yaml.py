"""YAML files that people write."""

from pathlib import Path
from typing import Any

import yaml

from sensei.core.errors import SenseiError


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; anything else is an error that names the file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise SenseiError(f"{path} is not YAML", found=where, hint="mend the line it names") from error
    if not isinstance(content, dict):
        raise SenseiError(f"{path}", found=type(content).__name__, expected="a mapping of keys to values")
    return content
