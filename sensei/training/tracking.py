"""Metrics sent on to trackers: every line of `metrics.jsonl` once, however often the run is interrupted."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sensei.core.apart import Apart
from sensei.core.errors import SenseiError, shortened
from sensei.core.files import read_json, write_json
from sensei.core.plugins import find
from sensei.core.rng import global_streams_kept
from sensei.study.layout import RunFiles
from sensei.study.models.training import TRACKERS
from sensei.training.trackers.contract import Record, Tracker

PATIENCE = 120.0  # seconds for a call; Weights & Biases itself waits 90 for its server
log = logging.getLogger("sensei.training")


class Tracking:
    """The trackers of a run.

    What each of them has is in `tracking.json` beside the metrics, as a length of the file of metrics: what is cut from it and written
    again after an interruption is the same, and is not sent again; what a tracker missed, it is sent later.

    Args:
        names: of trackers (`training.trackers`).
        files: of the run.
        study, title: as in `Record`.
        settings: gives those of `Record`; others than before begin a new record. It reads files, and is asked only if there are trackers.
    """

    def __init__(self, names: list[str], files: RunFiles, study: str, title: str, settings: Callable[[], dict[str, Any]]):
        self.names, self.files, self.about = names, files, (study, title, settings)
        self.trackers: dict[str, Tracker] | None = None
        self.apart: dict[str, Apart] = {}  # what one of them does, hang included, the run does not

    def follow(self) -> None:
        """Send what has been written since the last time. A tracker that fails is left alone until the run is resumed."""
        if not self.names:
            return
        if self.trackers is None:
            self._open()
        with open(self.files.metrics_so_far, "rb") as file:
            for name in list(self.trackers):
                file.seek(self.sent[name])
                while name in self.trackers and (line := file.readline()):
                    self._send(name, line, file.tell())

    def _send(self, name: str, line: bytes, end: int) -> None:
        """Note it first: what was under way at a kill is lost to the tracker, and never there twice."""
        before, self.sent[name] = self.sent[name], end
        self._note()
        with self._trying(name) as apart:
            apart(lambda: self.trackers[name].write(*_parts(line)))
        if name not in self.trackers:
            self.sent[name] = before
            self._note()

    def close(self) -> None:
        """The run ends, or stops to go on later."""
        for name in list(self.trackers or {}):
            with self._trying(name) as apart:
                apart(self.trackers[name].close)

    def _open(self) -> None:
        study, title, described = self.about
        settings = described()
        self.settings = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode()).hexdigest()
        known = self._known()
        self.identity, self.sent = known.get("identity", uuid.uuid4().hex), known.get("sent", {})
        self._note()  # before anything is sent: a kill here must not begin a second record
        self.trackers = {}
        for name in self.names:
            record = Record(self.identity, study, title, settings, self.files.folder, begins=name not in self.sent)
            self.apart[name] = Apart(PATIENCE)
            with self._trying(name) as apart:
                self.trackers[name] = apart(lambda name=name, record=record: find(name, *TRACKERS)(record))
                self.sent[name] = self.sent.get(name, 0) if self.trackers[name].keeps else 0

    def _known(self) -> dict[str, Any]:
        """What the run's earlier attempts noted; nothing if it is of another run, or damaged."""
        try:
            known = read_json(self.files.tracking)
            whole = known["settings"] == self.settings and isinstance(known["identity"], str)
            return known if whole and all(map(self._ends_a_line, known["sent"].values())) else {}
        except (SenseiError, OSError, KeyError, TypeError, AttributeError, ValueError, RecursionError):
            return {}

    def _ends_a_line(self, length: int) -> bool:
        """Whether so much of the metrics are whole lines; what is cut from them and will be written again cannot be asked."""
        with open(self.files.metrics_so_far, "rb") as file:
            file.seek(max(length - 1, 0))
            return length == 0 or file.read(1) in (b"\n", b"")

    def _note(self) -> None:
        write_json(self.files.tracking, {"identity": self.identity, "settings": self.settings, "sent": self.sent})

    @contextmanager
    def _trying(self, name: str) -> Iterator[Apart]:
        """Somebody else's network, disk or account is no reason to stop a run, nor are random numbers drawn there one to change it."""
        try:
            with global_streams_kept():
                yield self.apart[name]
        except Exception as error:
            words = f"{type(error).__name__}: {shortened(error, 200)}"
            log.warning("tracker %s fails and is left alone: %s; all metrics are in metrics.jsonl", name, words)
            self.trackers.pop(name, None)


def _parts(line: bytes) -> tuple[int, dict[str, float]]:
    """What a tracker is told of a line: step and metrics."""
    metrics = json.loads(line)
    return metrics.pop("step"), metrics
