"""Distributions of DreamerV3 as plain tensor functions with static shapes."""

import torch

from sensei.kernels import categorical
from sensei.kernels.choice import card

BINS = 255  # of every two-hot distribution
LIMIT = 20.0


def symlog(x: torch.Tensor) -> torch.Tensor:
    """sign(x) log(1 + |x|): squashes large values, keeps small ones."""
    return torch.sign(x) * torch.log1p(torch.abs(x))


def symexp(x: torch.Tensor) -> torch.Tensor:
    """Inverse of `symlog`."""
    return torch.sign(x) * torch.expm1(torch.abs(x))


def two_hot_loss(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Negative log-likelihood of a scalar under a symlog two-hot distribution.

    The target's mass goes to the two neighbouring bins of 255 over [-20, 20] in symlog space, in proportion to nearness.

    Args:
        logits: float [..., 255], or log-probabilities of the bins.
        target: float [...], not transformed.

    Returns:
        float [...], in nats.
    """
    return two_hot_losses(logits, target.unsqueeze(0))[0]


def two_hot_losses(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """The same of several scalars under one distribution: float [..., 255], [targets, ...] -> [targets, ...]."""
    if triton := card(logits):
        return triton.two_hot_losses(logits, targets)
    position = (symlog(targets).clamp(-LIMIT, LIMIT) + LIMIT) * ((BINS - 1) / (2 * LIMIT))
    below = position.floor().clamp(max=BINS - 2)
    return categorical.two_hot_loss(logits, below.long(), (position - below).float())


def two_hot_mean(logits: torch.Tensor) -> torch.Tensor:
    """Mean of a symlog two-hot distribution, in the target's own scale: logits (or log-probabilities) float [..., 255] -> [...]."""
    if triton := card(logits):
        return triton.two_hot_mean(logits)
    bins = torch.linspace(-LIMIT, LIMIT, BINS, device=logits.device, dtype=torch.float32)
    return symexp(categorical.two_hot_mean(logits, bins))


def log_probabilities(logits: torch.Tensor, uniform_mix: float) -> torch.Tensor:
    """Log-probabilities of a categorical mixed with `uniform_mix` of the uniform distribution: float [..., classes]."""
    return torch.log(categorical.mixed(logits, uniform_mix))


def categorical_kl(log_p: torch.Tensor, log_q: torch.Tensor) -> torch.Tensor:
    """KL(p || q) summed over variables: float [..., variables, classes] -> [...], in nats."""
    return (log_p.exp() * (log_p - log_q)).sum((-2, -1))


def categorical_entropy(log_p: torch.Tensor) -> torch.Tensor:
    """Entropy of a categorical: float [..., classes] -> [...], in nats."""
    return -(log_p.exp() * log_p).sum(-1)
