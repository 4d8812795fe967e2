"""The reward model R_psi: a small convolutional network from a picture and flags to one number (docs/method.md, section 1)."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor, nn

from sensei.core.errors import SenseiError
from sensei.core.files import atomic
from sensei.study.models.reward import RewardModelConfig

CHANNELS = (16, 32, 64)
KERNELS = (8, 4, 3)
STRIDES = (4, 2, 2)
POOL = 2
FLAG_UNITS = 512
SMALLEST = 52  # pixels; below it nothing is left to pool


def image_features(height: int, width: int, channels: int = CHANNELS[-1], keep_border: bool = False) -> int:
    """Number of features after the convolutions and the pooling: 2304 for 224 pixels, 64 for 80 or 64.

    `keep_border`: whether the pooling also covers what its stride leaves over.

    Raises:
        SenseiError: the picture is too small.
    """
    if min(height, width) < SMALLEST:
        raise SenseiError(
            "the annotator's picture is too small for the reward model", found=f"{height} x {width}", expected=f"{SMALLEST} or more"
        )
    for kernel, stride in zip(KERNELS, STRIDES, strict=True):
        height, width = (height - kernel) // stride + 1, (width - kernel) // stride + 1
    left_over = POOL - 1 if keep_border else 0
    return channels * ((height + left_over) // POOL) * ((width + left_over) // POOL)


class _Elu(torch.autograd.Function):
    """ELU from a plain exponential: on a CPU several times faster than torch's, which dominates the training of a small model."""

    @staticmethod
    def forward(context, x: Tensor) -> Tensor:
        y = torch.maximum(x, x.clamp(max=0).exp_().sub_(1))
        context.save_for_backward(y)
        return y

    @staticmethod
    def backward(context, gradient: Tensor) -> Tensor:
        (y,) = context.saved_tensors
        return gradient * y.clamp(max=0).add_(1)


class Elu(nn.Module):
    """The exponential linear unit, elementwise."""

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return _Elu.apply(x)


class RewardModel(nn.Module):
    """Three convolutions and a pooling for the picture, two layers for the flags (if any), three layers for both.

    `small` has half the channels, a quarter of the units and a pooling that keeps the border. Weights are orthogonal, biases zero, as in
    the released code.

    The published geometry is blind at the lower and right border: each layer drops what its stride leaves over, and at 80 (or 64)
    pixels only the upper left 52 x 52 reach the head, that is 3 1/4 of MiniHack's 5 tiles. At 224 pixels it is 212. Kept, because
    the published models have it: from 80 pixels they make 64 features. `small` sees 68 of 80 pixels.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], flags_size: int, config: RewardModelConfig, generator: torch.Generator | None = None
    ):
        super().__init__()
        self.image_shape, self.flags_size, self.config = tuple(image_shape), flags_size, config
        small = config.architecture == "small"
        thinner, narrower = (2, 4) if small else (1, 1)
        channels = [width // thinner for width in CHANNELS]
        layers: list[nn.Module] = []
        for before, after, kernel, stride in zip([image_shape[2], *channels], channels, KERNELS, STRIDES, strict=False):
            layers += [nn.Conv2d(before, after, kernel, stride), Elu()]
        self.convolutions = nn.Sequential(*layers, nn.MaxPool2d(POOL, ceil_mode=small), nn.Flatten())
        features = image_features(*image_shape[:2], channels[-1], keep_border=small)
        self.flag_layers = None
        if flags_size:
            units = FLAG_UNITS // narrower
            self.flag_layers = nn.Sequential(nn.Linear(flags_size, units), nn.ReLU(), nn.Linear(units, units), nn.ReLU())
            features += units
        hidden = max(config.hidden // narrower, 2)
        self.head = nn.Sequential(
            nn.Linear(features, hidden // 2), nn.ReLU(), nn.Linear(hidden // 2, hidden), nn.ReLU(), nn.Linear(hidden, 1)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.orthogonal_(module.weight, gain=1.0, generator=generator)
                nn.init.zeros_(module.bias)
        self.convolutions.to(memory_format=torch.channels_last)

    def forward(self, images: Tensor, flags: Tensor) -> Tensor:
        """Raw rewards float32 [N] of `images` uint8 [N, h, w, 3] and `flags` float32 [N, n]."""
        features = self.convolutions(images.permute(0, 3, 1, 2) / 255)  # the permuted view is in channels-last order already
        if self.flag_layers is not None:
            features = torch.cat([features, self.flag_layers(flags)], 1)
        return self.head(features).squeeze(1)


def save_model(path: str | Path, model: RewardModel) -> None:
    """Write weights and, as metadata, all that `load_model` needs to build the network again."""
    about = {"config": model.config.model_dump(mode="json"), "image_shape": model.image_shape, "flags_size": model.flags_size}
    metadata = {"reward_model": json.dumps(about)}  # one entry, because safetensors writes several in random order
    weights = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
    with atomic(path) as temporary:
        temporary.write_bytes(save(weights, metadata))  # its own writer's errors are none of the system's


def load_model(path: str | Path, device: str | torch.device = "cpu") -> RewardModel:
    """Read a model that `save_model` wrote; it is in evaluation mode and needs no gradients.

    Raises:
        SenseiError: the file is absent or damaged; the message names it.
    """
    try:
        with safe_open(path, "pt") as file:
            about = json.loads(file.metadata()["reward_model"])
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a mapping)
        with torch.device("meta"):  # no initial weights, so that loading draws no random numbers
            model = RewardModel(about["image_shape"], about["flags_size"], RewardModelConfig.model_validate(about["config"]))
        model.load_state_dict(weights, assign=True)
    except FileNotFoundError as error:
        raise SenseiError(f"there is no reward model {path}", hint="distil it first") from error
    except (SafetensorError, OSError, TypeError, KeyError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise SenseiError(f"{path} is no reward model, or damaged", found=reason, hint="get it again, or distil it again") from error
    model.convolutions.to(memory_format=torch.channels_last)
    return model.to(device).eval().requires_grad_(False)
