"""First and last layers of several heads on the same states (`BatchedMLP`)."""

import torch

from sensei.kernels.choice import card
from sensei.kernels.products import gather_rows, product, products


def first_layer(
    deter: torch.Tensor,
    stoch: torch.Tensor,
    extra: torch.Tensor | None,
    from_deter: torch.Tensor,
    from_stoch: torch.Tensor,
    from_extra: torch.Tensor | None,
) -> torch.Tensor:
    """The first layer of all heads as one wide product.

    Args:
        deter: float [rows, deter].
        stoch: float [rows, stoch] (one-hot variables side by side), or their classes as int64 [rows, variables], which enter by
            `gather_rows`. May be empty, float [rows, 0]; then `deter` holds both side by side, and `extra` too, filled up with zeros, if
            that is None.
        extra: float [rows, extra], for instance the action; None where there is no `from_extra`.
        from_deter, from_stoch, from_extra: float [deter, heads, units] and so on.

    Returns:
        float [rows, heads * units].
    """
    if triton := card(deter):
        return triton.first_layer(deter, stoch, extra, from_deter, from_stoch, from_extra)
    if not stoch.shape[-1]:
        deter, stoch, more = deter.tensor_split((len(from_deter), len(from_deter) + len(from_stoch)), -1)
        extra = more[:, : len(from_extra)] if from_extra is not None and extra is None else extra
    x, weight = product(deter, from_deter.flatten(1)), from_stoch.flatten(1)
    x = x + product(stoch, weight) if stoch.is_floating_point() else gather_rows(stoch, weight, x)
    return x if from_extra is None else x + extra @ from_extra.flatten(1)


def last_layer(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """float [heads, rows, inputs], [heads, inputs, outputs], [heads, outputs] -> [heads, rows, outputs]."""
    if triton := card(x):
        return triton.last_layer(x, weight, bias)
    return products(x, weight, bias)
