"""Building blocks: LayerNorm + SiLU everywhere, first layers that read a one-hot state by gathering rows, batched heads."""

from itertools import pairwise

import torch
from torch import nn

from sensei.kernels.convolutions import down, from_picture, up
from sensei.kernels.heads import first_layer, last_layer
from sensei.kernels.norm import norm_silu
from sensei.kernels.products import product, products


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
        return norm_silu(x, self.weight, self.bias)


def dense(inputs: int, units: int) -> nn.Sequential:
    """Linear without bias, LayerNorm, SiLU."""
    return nn.Sequential(Linear(inputs, units, bias=False), NormSiLU(units))


def mlp(inputs: int, units: int, layers: int) -> nn.Sequential:
    """`layers` dense layers of `units`."""
    return nn.Sequential(*(dense(inputs if layer == 0 else units, units) for layer in range(layers)))


class BatchedMLP(nn.Module):
    """Several equal MLPs on the same model state, computed together.

    The first layer is one wide product, the others are batched matrix products. Serves critics, reward heads, the actor (one head) and the
    disagreement ensemble.
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
            stoch: float [rows, stoch] (one-hot variables side by side), or their classes as int64 [rows, variables].
            extra: float [rows, extra], for instance the action.
                All of them may lie side by side in `deter`, see `first_layer`.

        Returns:
            float [heads, rows, outputs].
        """
        x = first_layer(deter, stoch, extra, self.from_deter, self.from_stoch, self.from_extra)
        x = x.view(-1, self.heads, self.units).transpose(0, 1)
        for layer, norm in enumerate(zip(self.norm_weight.unbind(0), self.norm_bias.unbind(0), strict=True)):
            x = products(x, self.hidden[layer - 1]) if layer else x
            x = norm_silu(x, *(part[:, 0] for part in norm))
        return last_layer(x, self.output, self.output_bias[:, 0])

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


class ChannelNormSiLU(NormSiLU):
    """SiLU(LayerNorm over channels) of a picture [N, C, H, W] in channels-last memory."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, C, H, W] -> [N, C, H, W]."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Down(nn.Conv2d):
    """Convolution of kernel 4, stride 2, padding 1 and no bias."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__(inputs, outputs, 4, 2, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, inputs, H, W] -> [N, outputs, H / 2, W / 2]."""
        return down(x, self.weight)


class Up(nn.ConvTranspose2d):
    """Its transpose."""

    def __init__(self, inputs: int, outputs: int, bias: bool):
        super().__init__(inputs, outputs, 4, 2, 1, bias=bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [N, inputs, H, W] -> [N, outputs, 2 H, 2 W]."""
        return up(x, self.weight, self.bias)


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
        x = from_picture(image, first.weight)
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
