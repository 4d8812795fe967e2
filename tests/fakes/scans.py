"""Posterior scans of batches whose episodes begin in the middle."""

import torch

from fakes.both_ways import leaf
from sensei.world_model.rssm import RSSM
from sensei.world_model.sizes import Size

SCANS = [(Size(32, 4, 4, 8, 48, 1), 3, 5), (Size(64, 16, 8, 8, 64, 1), 9, 7), (Size(48, 5, 16, 8, 32, 1), 17, 4)]


def scan(size: Size, batch: int, time: int):
    """A model, and a function of its parameters and an embedding that observes a batch with episodes that begin in the middle."""
    torch.manual_seed(0)
    model, embedding = RSSM(size, 24, 3, 0.01), leaf(batch, time, 24)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape))
    action, uniform, first = torch.randn(batch, time, 3), torch.rand(batch, time, size.stoch), torch.rand(batch, time) < 0.2
    first[:, 0] = True

    def observe() -> torch.Tensor:
        observed = model.observe(embedding, action, first, uniform)
        return torch.cat([part.flatten(2) for part in (observed.deter, observed.stoch, observed.posterior, observed.prior)], -1)

    return observe, embedding, *model.parameters()
