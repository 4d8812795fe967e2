"""What a tracker is: it sends the lines of `metrics.jsonl` on, to be looked at while a run goes on.

The file stays the source of truth: nothing is read from a tracker, and none that fails stops or changes a run.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Record:
    """What a tracker is told of a run.

    Attributes:
        identity: the same for all attempts of the run, and of no other.
        study, title: of the run; title has environment, task, method and seed.
        settings: all that determines the result, nested.
        folder: of the run; a tracker's own files go below it.
        begins: whether nothing of the run has been sent yet.
    """

    identity: str
    study: str
    title: str
    settings: dict[str, Any]
    folder: Path
    begins: bool


class Tracker(ABC):
    """Sends on what a run measures, a line after the other; each comes once, also when the run is resumed.

    Attributes:
        package: module that must be installed for it.
        install: what installs it.
        keeps: whether what was written survives the end of this process; if not, all lines come again when the run is resumed.
    """

    package = ""
    install = ""
    keeps = True

    def __init__(self, record: Record):
        self.record = record

    @abstractmethod
    def write(self, step: int, metrics: dict[str, float]) -> None:
        """Send a line."""

    def close(self) -> None:  # noqa: B027, not every tracker has something to close
        """The run has ended, or stops to go on later."""
