"""The frozen reward model as a batched function; the only one used anywhere."""

from pathlib import Path

import numpy as np
import torch

from sensei.core.errors import SenseiError
from sensei.reward.model import RewardModel, load_model

CHUNK = 1024  # images at once, so that memory stays bounded


class RewardScorer:
    """`scorer(images, flags)` gives clipped semantic rewards.

    On CUDA it computes in a stream of its own, so that the caller waits for the rewards and not for an update under way.

    Attributes:
        image_shape: (h, w, 3) of the pictures it was trained on.
        flags_size: number of flags.
        clip: largest absolute reward.
    """

    def __init__(self, model: RewardModel):
        self.model = model.eval()
        self.image_shape, self.flags_size, self.clip = model.image_shape, model.flags_size, model.config.clip
        device = next(model.parameters()).device
        self.stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        if self.stream is not None:
            self.stream.wait_stream(torch.cuda.current_stream(device))

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
        with torch.cuda.stream(self.stream):
            for begin in range(0, len(images), CHUNK):
                part = slice(begin, begin + CHUNK)
                rewards[part] = self._rewards(images[part], flags[part])
        return rewards

    def _rewards(self, images: np.ndarray, flags: np.ndarray) -> np.ndarray:
        device = next(self.model.parameters()).device
        image, flag = (torch.from_numpy(np.ascontiguousarray(array)).to(device) for array in (images, flags))
        return self.model(image, flag.float()).clamp(-self.clip, self.clip).float().cpu().numpy()
