"""The frozen reward model as a batched function; the only one used anywhere."""

from pathlib import Path

import numpy as np


class RewardScorer:
    """`scorer(images uint8 [N, h, w, 3], flags float32 [N, n]) -> float32 [N]`, clipped; attributes image_shape, flags_size, clip."""

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "RewardScorer":
        raise NotImplementedError

    def __call__(self, images: np.ndarray, flags: np.ndarray) -> np.ndarray:
        raise NotImplementedError
