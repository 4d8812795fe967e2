"""An algorithm on policy that lies outside the package: notes what it is told and learns nothing."""

from typing import Any

import numpy as np
import torch

from sensei.agents.contract import Agent


class Follower(Agent):
    """Named by studies as `algorithm: fakes.follower:Follower`; acts by counting, so that every action says when it was taken."""

    on_policy = True
    counts_for = 2
    told: list[tuple[Any, ...]] = []

    def __init__(self, spaces, settings, method, weights, phase, seed, device):
        self.spaces, self.actions, self.followed = spaces, 0, 0
        Follower.told = []

    def policy(self, rows, state, generator=None):
        if generator is None:
            self.actions += 1
        return np.full(len(rows["is_first"]), self.actions % self.spaces.actions), self.actions

    def follow(self, rows, state, ended, following):
        self.followed += 1
        Follower.told.append((rows, state, ended, following))

    @property
    def ready(self):
        return self.followed == 10

    def update(self, batch):
        assert batch is None and self.followed == 10
        self.followed = 0
        return {"loss/followed": torch.tensor(float(self.actions))}

    def checkpoint(self):
        return {"actions": self.actions, "followed": self.followed}

    def restore(self, checkpoint):
        self.actions, self.followed = checkpoint["actions"], checkpoint["followed"]
