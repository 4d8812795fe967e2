"""Percentiles of what was imagined."""

import torch


def percentiles(values: torch.Tensor, fractions: tuple[float, ...]) -> torch.Tensor:
    """Linearly interpolated percentiles of all values: float [...] -> [len(fractions)]."""
    ordered = values.detach().float().flatten().sort().values
    found = []
    for fraction in fractions:  # places are known without looking at the data, so that nothing waits for the device
        position = fraction * (len(ordered) - 1)
        below = int(position)
        found.append(torch.lerp(ordered[below], ordered[min(below + 1, len(ordered) - 1)], position - below))
    return torch.stack(found)
