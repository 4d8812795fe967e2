"""How interesting a state is, as the distilled reward model R_psi has it and the world model predicts it (paper Eqs. 4 and 7)."""

import torch

from sensei.exploration.sources import Rollout, Source


class Semantic(Source):
    """Mean of the semantic head. The switch compares it at the state itself, the reward of a step is that of the state it leads to."""

    def state_reward(self, rollout: Rollout) -> torch.Tensor:
        """float [horizon + 1, rows]."""
        return self.made.world_model.predict_reward("semantic", *rollout.states).view(rollout.deter.shape[:2])
