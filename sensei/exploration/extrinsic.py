"""The reward that the environment pays, as the world model predicts it."""

import torch

from sensei.exploration.sources import Rollout, Source


class Extrinsic(Source):
    """Mean of the head for the reward of the task, at the state that a step leads to."""

    def reward(self, rollout: Rollout) -> torch.Tensor:
        """float [horizon, rows]."""
        return self.made.world_model.predict_reward("extrinsic", *rollout.later).view(rollout.action.shape[:2])
