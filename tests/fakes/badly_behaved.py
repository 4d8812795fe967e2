"""Families of environments that do what none should, for the checker and for the trial before the first job."""

import importlib
import os
import signal
import sys
import time

from sensei.envs.toy import Counting


class Raises(Counting):
    def _begin(self, seed):
        raise ValueError("the simulator is on fire")


class Leaves(Counting):
    def _advance(self, action):
        sys.exit("enough")


class Dies(Counting):
    def _advance(self, action):
        os.kill(os.getpid(), signal.SIGBUS)


class Hangs(Counting):
    def _advance(self, action):
        time.sleep(3600)


class Prints(Counting):
    def _advance(self, action):
        print("step!")
        return super()._advance(action)


class Needs(Counting):
    def __init__(self, config, image_size):
        importlib.import_module("no_such_simulator")
