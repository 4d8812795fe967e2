"""Ensemble disagreement as intrinsic reward (Plan2Explore; paper Eqs. 5 and 6)."""

from itertools import repeat

import torch
from torch import nn

from sensei.exploration.sources import Made, Rollout, Source
from sensei.kernels.products import dot
from sensei.kernels.spread import spread
from sensei.world_model.model import Batch
from sensei.world_model.networks import BatchedMLP
from sensei.world_model.rssm import Observed, into_unit_box
from sensei.world_model.sizes import Size

ROWS = {"cpu": 1024, "cuda": 2**14}  # rows at once: what fits a cache, and what keeps a card busy


class Disagreement(Source):
    """Disagreement of an ensemble about what a step leads to; of the step's own state and action, as Eq. 6 reads."""

    def __init__(self, made: Made):
        super().__init__(made)
        self.rates = made.settings.ensemble
        self.ensemble = Ensemble(made.world_model.size, made.spaces.actions, made.settings.ensemble.members)

    def losses(self, batch: Batch, observed: Observed) -> dict[str, torch.Tensor]:
        """Steps whose successor starts another episode teach nothing about dynamics; they get no weight."""
        earlier = (part[:, :-1].flatten(0, 1) for part in (observed.deter, observed.index, batch.action))
        follows = (~batch.is_first[:, 1:]).flatten().float()
        return {"ensemble": self.ensemble.loss(*earlier, observed.stoch[:, 1:].flatten(0, 1), follows)}

    def reward(self, rollout: Rollout) -> torch.Tensor:
        """float [horizon, rows]."""
        return self.ensemble.disagreement(*rollout.steps, self.made.method.disagreement).view(rollout.action.shape[:2])


class Ensemble(nn.Module):
    """Members that predict the next stochastic state from memory, stochastic state and action; inputs are detached."""

    def __init__(self, size: Size, actions: int, members: int):
        super().__init__()
        flat = size.stoch * size.classes
        self.heads = BatchedMLP(members, size.deter, flat, actions, size.units, size.layers, flat)

    def loss(
        self, deter: torch.Tensor, index: torch.Tensor, action: torch.Tensor, target: torch.Tensor, weight: torch.Tensor
    ) -> torch.Tensor:
        """Summed squared error of each member's prediction of the next one-hot sample, weighted mean over rows, sum over members.

        Args:
            deter: float [rows, deter], index: int64 [rows, stoch], action: float [rows, actions].
            target: float [rows, stoch * classes], the next step's one-hot state.
            weight: float [rows]; a row of weight 0 teaches nothing.
        """
        error = self.heads(deter.detach(), index, into_unit_box(action)) - target.detach()
        return (dot(error, error).sum(0) * weight).sum() / weight.sum().clamp(min=1)

    def disagreement(self, deter: torch.Tensor, stoch: torch.Tensor, action: torch.Tensor | None, kind: str) -> torch.Tensor:
        """Mean over latent dimensions of the members' standard deviation (released code) or variance (paper).

        Computed in chunks of rows. Imagined actions may leave the unit box, replayed ones never do: both enter scaled
        into it, so that an action is not novel for its size alone.

        Args:
            deter: float [rows, deter]; stoch: int64 [rows, stoch] or float [rows, stoch * classes]; action: float [rows, actions];
                or all three side by side, see `Rollout.steps`.
            kind: `variance` or `standard_deviation`; both with divisor N.

        Returns:
            float [rows].
        """
        rows = ROWS[deter.device.type]
        actions = repeat(None) if action is None else into_unit_box(action).split(rows)
        chunks = zip(deter.split(rows), stoch.split(rows), actions, strict=False)
        return torch.cat([spread(self.heads(*chunk), kind) for chunk in chunks])
