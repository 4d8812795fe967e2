"""What docs/extending.md tells the reader to write: its code blocks, each titled with the file it belongs into."""

import re
from pathlib import Path

from helpers import ROOT

GUIDE = ROOT / "docs" / "extending.md"


def blocks(text: str) -> dict[str, str]:
    """File -> content, of every code block of a document whose line above ends with the file in backticks and a colon."""
    return dict(re.findall(r"`([\w./-]+\.\w+)`:\n+```\w*\n(.*?)```", text, re.DOTALL))


def shown(file: str) -> str:
    """The content of a file in the guide."""
    return blocks(GUIDE.read_text(encoding="utf-8"))[file]


def write(folder: Path, *files: str) -> None:
    """Write files of the guide (by default all) below `folder`."""
    for file in files or blocks(GUIDE.read_text(encoding="utf-8")):
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(shown(file), encoding="utf-8")
