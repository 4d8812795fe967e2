"""First and last layers of heads, as products of widths that tensor cores take."""

import torch
import torch.nn.functional as F

from sensei.kernels.card.draws import one_hot
from sensei.kernels.card.tiles import ALIGNED, output_dtype
from sensei.kernels.choice import is_frozen


def first_layer(
    deter: torch.Tensor,
    stoch: torch.Tensor,
    extra: torch.Tensor | None,
    from_deter: torch.Tensor,
    from_stoch: torch.Tensor,
    from_extra: torch.Tensor | None,
) -> torch.Tensor:
    """`heads.first_layer` as one product with all inputs side by side, filled up to a number of them that suits a card."""
    dtype, weights = output_dtype(deter), [from_deter, from_stoch]
    if not stoch.is_floating_point():
        stoch = one_hot(stoch, len(from_stoch) // stoch.shape[-1], dtype).flatten(-2)
    inputs = [part.to(dtype) for part in (deter, stoch) if part.shape[-1]]
    if from_extra is not None:
        known = sum(map(len, (*weights, from_extra)))
        more = deter.shape[-1] - known if extra is None else -known % ALIGNED
        inputs += [] if extra is None else [extra.to(dtype), inputs[0].new_zeros(len(extra), more)]
        weights += [from_extra, from_extra.new_zeros(more, *from_extra.shape[1:])]
    x = torch.cat(inputs, -1) if len(inputs) > 1 else inputs[0]
    return torch.mm(x, torch.cat(weights).flatten(1).to(dtype))


def last_layer(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Last layers: float [heads, rows, inputs], [heads, inputs, outputs], [heads, outputs] -> [heads, rows, outputs], in the type of `x`.

    Computed with as many outputs as products like; those are laid out in the rows of the result, between which there is then space.
    """
    if is_frozen():
        weight, bias = weight.detach(), bias.detach()
    return _Outputs.apply(x, weight.to(x.dtype), bias.to(x.dtype))


class _Outputs(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        ctx.columns, more = weight.shape[-1], -weight.shape[-1] % ALIGNED
        if more:
            weight, bias = F.pad(weight, (0, more)), F.pad(bias, (0, more))
        y = torch.empty(*x.shape[:2], weight.shape[-1], dtype=x.dtype, device=x.device)
        for head in range(len(x)):  # a batched product would begin with a copy of the bias into every row
            torch.addmm(bias[head], x[head], weight[head], out=y[head])
        ctx.save_for_backward(x, weight)
        return y[..., : ctx.columns]

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        x, weight = ctx.saved_tensors
        gradient = _whole_rows(gradient.to(x.dtype), weight.shape[-1])
        of_x = torch.bmm(gradient, weight.mT) if ctx.needs_input_grad[0] else None
        if not ctx.needs_input_grad[1]:
            return of_x, None, None
        ones = torch.ones(len(x), 1, x.shape[1], dtype=x.dtype, device=x.device)
        of_weight, of_bias = torch.bmm(x.mT, gradient), torch.bmm(ones, gradient)[:, 0]
        return of_x, of_weight[..., : ctx.columns], of_bias[..., : ctx.columns]


def _whole_rows(gradient: torch.Tensor, width: int) -> torch.Tensor:
    """Rows filled up with zeros to `width`, which gradients of `two_hot` are already: [heads, rows, columns] -> [heads, rows, width]."""
    heads, rows, columns = gradient.shape
    if columns == width:
        return gradient
    if width == 256 and gradient.stride() == (rows * width, width, 1) and gradient.storage_offset() == 0:
        return gradient.as_strided((heads, rows, width), gradient.stride())
    return F.pad(gradient, (0, width - columns))
