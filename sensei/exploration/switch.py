"""Go, then explore: the idea of the paper, alone in a file (paper Eqs. 7 and 8).

Below a running percentile of the semantic signal the agent *goes*: it follows meaning. From it on it *explores*: it seeks
surprise. Two ways to measure "below" exist and give different behaviour:

* `reward_quantile`, the paper's: the predicted semantic reward of a state against the running k-th percentile of predicted
  semantic rewards.
* `return_range`, the released code's: the semantic lambda-return against the running *range* between its k-th and 5th
  percentile, at least 1, averages starting at zero without bias correction.
"""

import torch
from torch import nn

from sensei.exploration.statistics import percentiles
from sensei.study.models.exploration import ExplorationConfig

LOW_PERCENTILE = 5.0


class Switch(nn.Module):
    """Weight of every reward source in every imagined state.

    Args:
        gate: `none` (always the explore weights), `reward_quantile` or `return_range`.
        config: percentile, go and explore weights.
        sources: the sources in the order of the result's first axis.
        decay: of the running percentiles (paper: 0.99).
    """

    def __init__(self, gate: str, config: ExplorationConfig, sources: list[str], decay: float):
        super().__init__()
        self.gate, self.percentile, self.decay = gate, config.percentile / 100, decay
        explore = {name: config.explore.get(name, 0.0) for name in sources}
        go = {name: config.go.get(name, 0.0) for name in sources}
        if "extrinsic" in sources:
            go["extrinsic"] = explore["extrinsic"]  # chi is never gated
        self.register_buffer("go_weights", torch.tensor([*go.values()]).view(-1, 1, 1))
        self.register_buffer("explore_weights", torch.tensor([*explore.values()]).view(-1, 1, 1))
        self.register_buffer("high", torch.zeros(()))
        self.register_buffer("low", torch.zeros(()))
        self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, semantic_reward: torch.Tensor | None, semantic_return: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        """Update the running percentiles with a batch of imagined states and weigh them.

        Args:
            semantic_reward: float [horizon, rows], predicted at the states themselves; None without a semantic source.
            semantic_return: float [horizon, rows], lambda-returns from these states.

        Returns:
            weights float [sources, horizon, rows] (or broadcastable), divided by the sum of the explore weights, and the
            fraction of states in the explore branch.
        """
        total = self.explore_weights.sum()
        if self.gate == "none":
            return self.explore_weights / total, torch.ones_like(total)
        signal = semantic_reward if self.gate == "reward_quantile" else semantic_return
        above = signal >= self._threshold(signal)
        return torch.where(above, self.explore_weights, self.go_weights) / total, above.float().mean()

    def _threshold(self, signal: torch.Tensor) -> torch.Tensor:
        low, high = percentiles(signal, (LOW_PERCENTILE / 100, self.percentile))
        self.updates += 1
        self.low.lerp_(low, 1 - self.decay)
        self.high.lerp_(high, 1 - self.decay)
        if self.gate == "return_range":
            return (self.high - self.low).clamp(min=1.0)
        return self.high / (1 - self.decay ** self.updates.float())
