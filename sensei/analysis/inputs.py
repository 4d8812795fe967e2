"""What a stage of this room reads, declared once: workflow and manifests take it from the function that the stage itself reads by."""

from pathlib import Path
from typing import Any

from sensei.core.errors import SenseiError


class Inputs(dict[str, Any]):
    """Files by the name under which they were declared: a path, or a list of paths in a stated order. What was not declared is refused."""

    def __missing__(self, name: str) -> Any:
        expected = f"one of {', '.join(map(repr, self))}" if self else "no input at all"
        raise SenseiError("an input is read that was not declared", found=repr(name), expected=expected, hint="name it in `inputs`")

    def paths(self) -> list[Path]:
        """Every file, in order."""
        return [path for value in self.values() for path in (value if isinstance(value, list) else [value])]
