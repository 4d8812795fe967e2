"""Lambda-returns and their normalisation (DreamerV3)."""

import torch
from torch import nn

from sensei.exploration.statistics import percentiles
from sensei.kernels.choice import card


def lambda_return(reward: torch.Tensor, value: torch.Tensor, discount: torch.Tensor, lambda_: float) -> torch.Tensor:
    """G_t = r_{t+1} + discount_{t+1} ((1 - lambda) v_{t+1} + lambda G_{t+1}), bootstrapped with the last value.

    Args:
        reward: float [..., horizon, rows]; entry t is the reward of reaching state t + 1.
        value: float [..., horizon + 1, rows].
        discount: float [horizon, rows]; entry t is the discount times the continuation of state t + 1.
        lambda_: 0 bootstraps from the next value, 1 from the last one alone.

    Returns:
        float [..., horizon, rows].
    """
    if value.dim() == 3 and (triton := card(reward, value, discount)):
        return triton.lambda_return(reward, value, discount, lambda_)
    following = value[..., -1, :]
    returns = []
    for t in reversed(range(reward.shape[-2])):
        following = reward[..., t, :] + discount[t] * torch.lerp(value[..., t + 1, :], following, lambda_)
        returns.append(following)
    return torch.stack(returns[::-1], -2)


class ReturnScale(nn.Module):
    """Running range between the 5th and 95th percentile of the returns of each reward source.

    Args:
        floors: smallest scale of each source.
        decay: of the running percentiles, which begin at 0.
        corrected: divide them by 1 - decay^n after n updates.
    """

    def __init__(self, floors: list[float], decay: float, corrected: bool = False):
        super().__init__()
        self.decay, self.corrected = decay, corrected
        self.register_buffer("floors", torch.tensor(floors), persistent=False)
        self.register_buffer("low", torch.zeros(len(floors)))
        self.register_buffer("high", torch.zeros(len(floors)))
        if corrected:
            self.register_buffer("updates", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def forward(self, returns: torch.Tensor) -> torch.Tensor:
        """Update with returns float [sources, horizon, rows]; gives the scale of each source, float [sources, 1, 1]."""
        low, high = torch.stack([percentiles(source, (0.05, 0.95)) for source in returns]).unbind(1)
        self.low.lerp_(low, 1 - self.decay)
        self.high.lerp_(high, 1 - self.decay)
        scale = self.high - self.low
        if self.corrected:
            self.updates += 1
            scale = scale / (1 - self.decay ** self.updates.float())
        return scale.clamp(min=self.floors).view(-1, 1, 1)
