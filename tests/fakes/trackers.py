"""Trackers of one's own."""

import json

from sensei.training.trackers.contract import Tracker


class Notes(Tracker):
    """Lines of text beside the metrics."""

    def __init__(self, record):
        super().__init__(record)
        self.path = record.folder / f"{record.identity}.notes"

    def write(self, step, metrics):
        with self.path.open("a") as file:
            file.write(json.dumps([step, metrics]) + "\n")


class Fails(Tracker):
    """Somebody's network."""

    def write(self, step, metrics):
        raise ConnectionError("no route to host")


class NeedsMore(Tracker):
    """What nobody has installed."""

    package = "not_installed_anywhere"
    install = "pip install luck"

    def write(self, step, metrics):
        """Never reached."""
