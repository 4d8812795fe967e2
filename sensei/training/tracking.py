"""Metrics sent on to trackers: every line of `metrics.jsonl` once, however often the run is interrupted."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable
from typing import Any

from sensei.core.errors import SenseiError
from sensei.core.files import read_json, write_json
from sensei.core.plugins import find
from sensei.study.layout import RunFiles
from sensei.study.models.training import TRACKERS
from sensei.training.trackers.contract import Record, Tracker

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
        metrics = json.loads(line)
        step = metrics.pop("step")
        if not self._tried(name, lambda tracker: tracker.write(step, metrics)):
            self.sent[name] = before
            self._note()

    def close(self) -> None:
        """The run ends, or stops to go on later."""
        for name in list(self.trackers or {}):
            self._tried(name, lambda tracker: tracker.close())

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
            try:
                self.trackers[name] = find(name, *TRACKERS)(record)
            except Exception as error:
                _left_alone(name, error)
            else:
                self.sent[name] = self.sent.get(name, 0) if self.trackers[name].keeps else 0

    def _known(self) -> dict[str, Any]:
        try:
            known = read_json(self.files.tracking)
            return known if known["settings"] == self.settings else {}
        except (SenseiError, OSError, KeyError, TypeError):
            return {}

    def _note(self) -> None:
        write_json(self.files.tracking, {"identity": self.identity, "settings": self.settings, "sent": self.sent})

    def _tried(self, name: str, act: Callable[[Tracker], None]) -> bool:
        try:
            act(self.trackers[name])
        except Exception as error:
            _left_alone(name, error)
            del self.trackers[name]
            return False
        return True


def _left_alone(name: str, error: Exception) -> None:
    """Somebody else's network, disk or account is no reason to stop a run."""
    words = " ".join(str(error).split())[:200]
    log.warning("tracker %s fails and is left alone: %s: %s; all metrics are in metrics.jsonl", name, type(error).__name__, words)
