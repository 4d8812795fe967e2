"""The convolutions of IMPALA, for pictures that are too small for NatureCNN's."""

from itertools import pairwise

import torch
import torch.nn.functional as F
from gymnasium.spaces import Dict
from stable_baselines3.common.torch_layers import CombinedExtractor
from torch import nn

CHANNELS = 3, 16, 32, 32


class ImpalaExtractor(CombinedExtractor):
    """Stable-Baselines3's `CombinedExtractor` with IMPALA's network (Espeholt et al. 2018, arXiv 1802.01561, Figure 3, large) on `image`.

    Halves a picture three times, so that 16 x 16 pixels are enough.
    """

    def __init__(self, observation_space: Dict, cnn_output_dim: int = 256):
        super().__init__(Dict({name: space for name, space in observation_space.items() if name != "image"}))
        self.extractors["image"] = Impala(observation_space["image"].shape[1], cnn_output_dim)
        self._features_dim += cnn_output_dim


class Impala(nn.Sequential):
    """float [rows, 3, side, side] -> [rows, features]."""

    def __init__(self, side: int, features: int):
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(CHANNELS):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.MaxPool2d(3, 2, padding=1), Residual(outputs), Residual(outputs)]
            side = (side + 1) // 2
        super().__init__(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(CHANNELS[-1] * side**2, features), nn.ReLU())


class Residual(nn.Module):
    """Two convolutions that add to what they are given."""

    def __init__(self, channels: int):
        super().__init__()
        self.first, self.second = (nn.Conv2d(channels, channels, 3, padding=1) for _ in range(2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """float [rows, channels, H, W] -> the same."""
        return x + self.second(F.relu(self.first(F.relu(x))))
