"""Gymnasium environments that fail in the ways a worker can; imported by workers through ids such as "misbehaving:Raises-v0"."""

import os
import signal

import gymnasium
import numpy as np


class Misbehaving(gymnasium.Env):
    """Fails at step 3 of its second episode."""

    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(2)
    episode = -1  # the adapter resets once to learn the picture's shape

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.episode, self.count = self.episode + 1, 0
        return self._look(), {}

    def step(self, action):
        self.count += 1
        if self.episode == 2 and self.count == 3:
            self.fail()
        return self._look(), 0.0, False, self.count == 4, {}

    def _look(self):
        return np.full((16, 16, 3), self.count, np.uint8)


class Raises(Misbehaving):
    def fail(self):
        raise ValueError("the simulator is on fire")


class Exits(Misbehaving):
    def fail(self):
        os._exit(3)


class Dies(Misbehaving):
    def fail(self):
        os.kill(os.getpid(), signal.SIGKILL)


class Segfaults(Misbehaving):
    def fail(self):
        os.kill(os.getpid(), signal.SIGSEGV)


class WritesToAFullDisk(Misbehaving):
    def fail(self):
        os.kill(os.getpid(), signal.SIGBUS)


class Slides(gymnasium.Env):
    """Behaves well: two actions in [0, 4], whose sum of all steps is the picture."""

    observation_space = gymnasium.spaces.Box(0, 255, (16, 16, 3), np.uint8)
    action_space = gymnasium.spaces.Box(0.0, 4.0, (2,), np.float32)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.place = 0.0
        return self._look(), {}

    def step(self, action):
        self.place += float(action.sum())
        return self._look(), 0.0, False, False, {}

    def _look(self):
        return np.full((16, 16, 3), self.place, np.uint8)


for kind in (Slides, Raises, Exits, Dies, Segfaults, WritesToAFullDisk):
    gymnasium.register(f"{kind.__name__}-v0", kind)
