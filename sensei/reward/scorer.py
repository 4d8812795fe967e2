"""The frozen reward model as a batched function; the only one used anywhere."""

from pathlib import Path

import numpy as np
import torch

from sensei.errors import SenseiError
from sensei.reward.model import RewardModel, load_model

CHUNK = 1024  # images at once, so that memory stays bounded


class RewardScorer:
    """`scorer(images, flags)` gives clipped semantic rewards.

    Attributes:
        image_shape: (h, w, 3) of the pictures it was trained on.
        flags_size: number of flags.
        clip: largest absolute reward.
    """

    def __init__(self, model: RewardModel):
        self.model = model.eval()
        self.image_shape, self.flags_size, self.clip = model.image_shape, model.flags_size, model.config.clip

    @classmethod
    def load(cls, path: str | Path, device: str | torch.device = "cpu") -> "RewardScorer":
        """Read a `reward.safetensors`; a damaged or absent one is a SenseiError that names it."""
        return cls(load_model(path, device))

    @torch.no_grad()
    def __call__(self, images: np.ndarray, flags: np.ndarray) -> np.ndarray:
        """Rewards float32 [N] of `images` uint8 [N, h, w, 3] and `flags` float32 [N, n].

        Raises:
            SenseiError: the pictures or flags are not those of the environment the model was trained on.
        """
        given, wanted = (images.shape[1:], flags.shape[1:]), (self.image_shape, (self.flags_size,))
        if given != wanted or images.dtype != np.uint8:
            found = f"images {images.dtype} {list(given[0])} and flags {list(given[1])}"
            expected = f"images uint8 {list(wanted[0])} and flags {list(wanted[1])}"
            raise SenseiError("the reward model belongs to another environment", found=found, expected=expected)
        rewards = np.empty(len(images), np.float32)
        device = next(self.model.parameters()).device
        for begin in range(0, len(images), CHUNK):
            part = slice(begin, begin + CHUNK)
            image, flag = (torch.from_numpy(np.ascontiguousarray(array[part])).to(device) for array in (images, flags))
            rewards[part] = self.model(image, flag.float()).clamp(-self.clip, self.clip).float().cpu().numpy()
        return rewards
