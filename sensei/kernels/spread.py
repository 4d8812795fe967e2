"""How far the members of an ensemble are apart."""

import torch

from sensei.kernels.choice import card


def spread(predictions: torch.Tensor, kind: str) -> torch.Tensor:
    """Spread over members, mean over dimensions: float [members, rows, dimensions] -> [rows].

    Args:
        kind: `variance` or `standard_deviation`; both with divisor N.
    """
    if triton := card(predictions):
        return triton.spread(predictions, kind)
    predictions = predictions.float()
    variance = (predictions - predictions.mean(0)).square().mean(0)  # three times faster than torch.var over the first axis
    return (variance if kind == "variance" else variance.clamp(min=1e-12).sqrt()).mean(-1)
