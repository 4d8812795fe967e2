"""Building blocks: LayerNorm + SiLU everywhere, first layers that read a one-hot state by gathering rows, batched heads."""

from itertools import pairwise
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import nn

from sensei.world_model import kernels
from sensei.world_model.convolutions import Down, Up
from sensei.world_model.products import by_hand, dot, product, products

NORM_EPSILON = 1e-3
SCATTER = 2**13  # elements of a variable's rows above which their gradient is scattered


def initialise(weight: torch.Tensor, fan_in: int, fan_out: int, scale: float = 1.0) -> None:
    """Truncated normal with variance scale / mean(fan_in, fan_out), as DreamerV3; scale 0 gives zeros."""
    if scale == 0:
        nn.init.zeros_(weight)
        return
    std = (scale / ((fan_in + fan_out) / 2)) ** 0.5 / 0.87962566103423978
    nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)


class Linear(nn.Module):
    """Linear layer with DreamerV3's initialisation; weight is [inputs, outputs].

    Args:
        fans: fan-in and fan-out for the initialisation, where the layer is one part of a wider one.
    """

    def __init__(self, inputs: int, outputs: int, bias: bool = True, scale: float = 1.0, fans: tuple[int, int] | None = None):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.zeros(outputs)) if bias else None
        initialise(self.weight, *(fans or (inputs, outputs)), scale)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [..., inputs] -> [..., outputs]."""
        return product(x, self.weight, self.bias)


class NormSiLU(nn.Module):
    """SiLU(LayerNorm(x)) over the last axis."""

    def __init__(self, units: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(units))
        self.bias = nn.Parameter(torch.zeros(units))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [..., units] -> [..., units]."""
        y = kernels.norm_silu(x, self.weight, self.bias)
        return F.silu(F.layer_norm(x, self.weight.shape, self.weight, self.bias, NORM_EPSILON)) if y is None else y


def dense(inputs: int, units: int) -> nn.Sequential:
    """Linear without bias, LayerNorm, SiLU."""
    return nn.Sequential(Linear(inputs, units, bias=False), NormSiLU(units))


def mlp(inputs: int, units: int, layers: int) -> nn.Sequential:
    """`layers` dense layers of `units`."""
    return nn.Sequential(*(dense(inputs if layer == 0 else units, units) for layer in range(layers)))


def gather_rows(index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """Product of concatenated one-hot vectors with a matrix, by adding up the rows they select.

    Args:
        index: int64 [rows, variables], the class of each variable.
        weight: float [variables * classes, outputs].

    Returns:
        float [rows, outputs].
    """
    variables = index.shape[-1]
    if triton := kernels.card(weight):  # the product with the one-hot vectors is what tensor cores are for
        return product(triton.one_hot(index, weight.shape[0] // variables, triton.output_dtype(weight)).flatten(-2), weight)
    index = index + torch.arange(variables, device=index.device) * (weight.shape[0] // variables)
    if weight.numel() // variables <= SCATTER and by_hand(weight):
        return _GatherRows.apply(index, weight)
    return F.embedding_bag(index, weight, mode="sum")


class _GatherRows(torch.autograd.Function):
    """Gathers forward; backward a dense product with the one-hot vectors, which for small matrices is faster than scattering."""

    @staticmethod
    def forward(ctx, index: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(index)
        ctx.rows = weight.shape[0]
        return F.embedding_bag(index, weight, mode="sum")

    @staticmethod
    def backward(ctx, gradient: torch.Tensor):
        (index,) = ctx.saved_tensors
        vectors = gradient.new_zeros(len(index), ctx.rows).scatter_(1, index, 1)
        return None, product(vectors.t(), gradient)


class BatchedMLP(nn.Module):
    """Several equal MLPs on the same model state, computed together.

    The first layer is one wide product (the stochastic state enters by `gather_rows` where it is given as indices), the
    others are batched matrix products. Serves critics, reward heads, the actor (one head) and the disagreement ensemble.
    """

    def __init__(self, heads: int, deter: int, stoch: int, extra: int, units: int, layers: int, outputs: int, scale: float = 1.0):
        super().__init__()
        self.heads, self.units, self.outputs = heads, units, outputs
        self.from_deter = nn.Parameter(torch.empty(deter, heads, units))
        self.from_stoch = nn.Parameter(torch.empty(stoch, heads, units))
        self.from_extra = nn.Parameter(torch.empty(extra, heads, units)) if extra else None
        self.hidden = nn.ParameterList(torch.empty(heads, units, units) for _ in range(layers - 1))
        self.norm_weight = nn.Parameter(torch.ones(layers, heads, 1, units))
        self.norm_bias = nn.Parameter(torch.zeros(layers, heads, 1, units))
        self.output = nn.Parameter(torch.empty(heads, units, outputs))
        self.output_bias = nn.Parameter(torch.zeros(heads, 1, outputs))
        for weight in (self.from_deter, self.from_stoch, self.from_extra):
            if weight is not None:
                initialise(weight.data, deter + stoch + extra, units)
        for weight in self.hidden:
            initialise(weight.data, units, units)
        initialise(self.output.data, units, outputs, scale)

    def forward(self, deter: torch.Tensor, stoch: torch.Tensor, extra: torch.Tensor | None = None) -> torch.Tensor:
        """Evaluate all heads.

        Args:
            deter: float [rows, deter].
            stoch: float [rows, stoch] (one-hot variables side by side), or their classes as int64 [rows, variables]. May be empty,
                [rows, 0]; then `deter` holds both side by side, and `extra` too, filled up with zeros, if that is None.
            extra: float [rows, extra], for instance the action.

        Returns:
            float [heads, rows, outputs].
        """
        triton = kernels.card(deter)
        x = self._first_at_once(triton, deter, stoch, extra) if triton else self._first(deter, stoch, extra)
        x = x.view(-1, self.heads, self.units).transpose(0, 1)
        for layer, norm in enumerate(zip(self.norm_weight.unbind(0), self.norm_bias.unbind(0), strict=True)):
            x = products(x, self.hidden[layer - 1]) if layer else x
            x = self._norm_silu(x, *norm)
        if triton:
            return triton.outputs(x, self.output, self.output_bias[:, 0])
        return products(x, self.output, self.output_bias[:, 0])

    def _first(self, deter: torch.Tensor, stoch: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        """First layer of all heads: [rows, heads * units]."""
        if not stoch.shape[-1]:
            deter, stoch, more = deter.tensor_split((len(self.from_deter), len(self.from_deter) + len(self.from_stoch)), -1)
            extra = extra if self.from_extra is None or extra is not None else more[:, : len(self.from_extra)]
        x = product(deter, self.from_deter.flatten(1))
        weight = self.from_stoch.flatten(1)
        x = x + (product(stoch, weight) if stoch.is_floating_point() else gather_rows(stoch, weight))
        return x if extra is None else x + extra @ self.from_extra.flatten(1)

    def _first_at_once(self, triton: ModuleType, deter: torch.Tensor, stoch: torch.Tensor, extra: torch.Tensor | None) -> torch.Tensor:
        """The same as one product with all inputs side by side, filled up to a number of them that suits a card."""
        dtype, weights = triton.output_dtype(deter), [self.from_deter, self.from_stoch]
        if not stoch.is_floating_point():
            stoch = triton.one_hot(stoch, len(self.from_stoch) // stoch.shape[-1], dtype).flatten(-2)
        inputs = [part.to(dtype) for part in (deter, stoch) if part.shape[-1]]
        if self.from_extra is not None:
            known = sum(map(len, (*weights, self.from_extra)))
            more = deter.shape[-1] - known if extra is None else -known % triton.ALIGNED
            inputs += [] if extra is None else [extra.to(dtype), inputs[0].new_zeros(len(extra), more)]
            weights += [self.from_extra, self.from_extra.new_zeros(more, self.heads, self.units)]
        x = torch.cat(inputs, -1) if len(inputs) > 1 else inputs[0]
        return torch.mm(x, torch.cat(weights).flatten(1).to(dtype))

    def _norm_silu(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """SiLU(LayerNorm(x)) of each head: [heads, rows, units], [heads, 1, units], [heads, 1, units] -> [heads, rows, units]."""
        y = kernels.norm_silu(x, weight[:, 0], bias[:, 0])
        if y is not None:
            return y
        if self.heads == 1:
            return F.silu(F.layer_norm(x, (self.units,), weight[0, 0], bias[0, 0], NORM_EPSILON))
        return F.silu(torch.addcmul(bias, F.layer_norm(x, (self.units,), eps=NORM_EPSILON), weight))

    def load_head(self, weights: dict[str, torch.Tensor], head: int) -> None:
        """Take over one head of another module's `state_dict`; this module has a single head and otherwise the same shapes."""
        axes = self.head_axes()
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(weights[name].narrow(axes[parameter], head, 1))

    def head_axes(self) -> dict[nn.Parameter, int]:
        """For each parameter the axis that runs over heads, for gradient clipping per head."""
        first = {weight: 1 for weight in (self.from_deter, self.from_stoch, self.from_extra) if weight is not None}
        return {parameter: first.get(parameter, 1 if parameter.dim() == 4 else 0) for parameter in self.parameters()}


def image_stages(size: int) -> int:
    """Number of stride-2 stages from `size` pixels down to a map of at least 4 x 4 (64 -> 4 stages, 40 -> 3)."""
    stages = 0
    while size % 2 == 0 and size // 2 >= 4:
        size, stages = size // 2, stages + 1
    return stages


def centred(image: torch.Tensor) -> torch.Tensor:
    """A picture in [-0.5, 0.5], as the encoder reads it and the decoder predicts it: uint8 [...] -> float [...]."""
    return image.to(torch.float32, copy=True).mul_(1 / 255).sub_(0.5)


def picture_error(predicted: torch.Tensor, image: torch.Tensor) -> torch.Tensor:
    """Squared error summed over each picture: float [N, H, W, 3], uint8 [N, H, W, 3] -> [N]."""
    error = kernels.picture_error(predicted, image)
    if error is not None:
        return error
    missed = (predicted - centred(image)).flatten(1)
    return dot(missed, missed)


class ChannelNormSiLU(NormSiLU):
    """SiLU(LayerNorm over channels) of a picture [N, C, H, W] in channels-last memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> [N, C, H, W]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class ImageEncoder(nn.Module):
    """Stride-2 convolutions with kernel 4 and depth x 1, 2, 4, 8 channels (paper, Appendix B)."""

    def __init__(self, size: int, depth: int):
        super().__init__()
        self.stages = image_stages(size)
        self.outputs = depth * 2 ** (self.stages - 1) * (size >> self.stages) ** 2
        channels = [3, *(depth * 2**stage for stage in range(self.stages))]
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(channels):
            convolution = Down(inputs, outputs)
            initialise(convolution.weight.data, inputs * 16, outputs * 16)
            layers += [convolution, ChannelNormSiLU(outputs)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """uint8 [N, H, W, 3] -> float [N, outputs]."""
        first, *others = self.layers
        if triton := kernels.card(first.weight):
            x = triton.picture_down(image, first.weight)
        else:
            x = first(centred(image).permute(0, 3, 1, 2))
        for layer in others:
            x = layer(x)
        return x.permute(0, 2, 3, 1).flatten(1)


class ImageDecoder(nn.Module):
    """The encoder mirrored; predicts the picture in [-0.5, 0.5]."""

    def __init__(self, features: int, size: int, depth: int):
        super().__init__()
        stages = image_stages(size)
        self.side = size >> stages
        channels = [depth * 2**stage for stage in reversed(range(stages))]
        self.inputs = Linear(features, self.side**2 * channels[0])
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise([*channels, 3]):
            last = outputs == 3 and len(layers) == 2 * (stages - 1)
            convolution = Up(inputs, outputs, bias=last)
            initialise(convolution.weight.data, inputs * 16, outputs * 16)
            if last:
                nn.init.zeros_(convolution.bias)
            layers += [convolution] if last else [convolution, ChannelNormSiLU(outputs)]
        self.layers = nn.Sequential(*layers).to(memory_format=torch.channels_last)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """float [N, features] -> float [N, H, W, 3], the picture of `centred`."""
        x = self.inputs(features).view(features.shape[0], self.side, self.side, -1).permute(0, 3, 1, 2)
        return self.layers(x).permute(0, 2, 3, 1)
