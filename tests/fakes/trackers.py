"""Trackers of one's own."""

import json
import random
import time

import numpy as np
import torch

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


class Exits(Tracker):
    """Whose library ends the process."""

    def write(self, step, metrics):
        raise SystemExit(0)


class Hangs(Tracker):
    """Somebody's server that takes a connection and says nothing."""

    def write(self, step, metrics):
        time.sleep(3600)


class Speechless(Tracker):
    """Whose error cannot be told."""

    class Error(Exception):
        """Raises when it is printed."""

        def __str__(self):
            raise ValueError

    def write(self, step, metrics):
        raise self.Error


class Draws(Tracker):
    """Seeds the streams that belong to everybody, and draws from them."""

    def write(self, step, metrics):
        random.seed(step)
        np.random.seed(step)  # noqa: NPY002
        torch.manual_seed(step)
        torch.rand(1)
