"""A CLIP model that says how well pictures fit texts."""

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from sensei.core.devices import device_of
from sensei.core.errors import SenseiError


class Clip:
    """An open_clip model that says how well pictures fit descriptions.

    Args:
        model: open_clip's name of an architecture, or a folder with `open_clip_config.json` and weights.
        pretrained: tag or file of the weights; None for a folder, which holds its own.
        device: where it runs; `auto`: on a GPU if there is one.
        at_once: pictures encoded together.

    Raises:
        SenseiError: there is no such model, or its weights cannot be had.
    """

    def __init__(self, model: str, pretrained: str | None, device: str = "cpu", at_once: int = 256):
        self.device = device_of(device)
        self.at_once = at_once
        local = Path(model).is_dir()
        name = f"local-dir:{model}" if local else model
        try:
            self.model = open_clip.create_model(
                name, pretrained, device=self.device, require_pretrained=True, pretrained_text=False, output_dict=False
            )
            self.tokenizer = open_clip.get_tokenizer(name)
        except (RuntimeError, OSError, ValueError) as error:
            reason = " ".join((str(error) or type(error).__name__).split())
            hint = "name an architecture of open_clip with `pretrained`, or a folder with open_clip_config.json and weights"
            raise SenseiError(f"there is no CLIP model {model}, weights {pretrained}", found=reason, hint=hint) from error
        self.model.eval().requires_grad_(False)
        # The mean, size and interpolation that these weights were trained with, which open_clip keeps with the picture tower.
        self.preprocess = image_transform_v2(PreprocessCfg(**self.model.visual.preprocess_cfg), is_train=False)

    @torch.inference_mode()
    def encode_texts(self, texts: Iterable[str]) -> Tensor:
        """Unit vectors float32 [N, d] of `texts`."""
        return self.model.encode_text(self.tokenizer(list(texts)).to(self.device), normalize=True).float()

    @torch.inference_mode()
    def encode_pictures(self, pictures: Iterable[np.ndarray]) -> Tensor:
        """Unit vectors float32 [N, d] of `pictures`, each uint8 [h, w, 3]."""
        pictures, parts = iter(pictures), []
        while batch := [self.preprocess(Image.fromarray(picture)) for picture in islice(pictures, self.at_once)]:
            parts.append(self.model.encode_image(torch.stack(batch).to(self.device), normalize=True).float())
        return torch.cat(parts)

    def logits(self, pictures: Tensor, texts: Tensor) -> np.ndarray:
        """How well encoded pictures [P, d] fit encoded texts [T, d], float64 [P, T], on the scale the model was trained with."""
        bias = 0.0 if self.model.logit_bias is None else self.model.logit_bias
        return (self.model.logit_scale.exp() * pictures @ texts.T + bias).double().cpu().numpy()

    @property
    def absolute(self) -> bool:
        """Whether its logits have a zero: models trained with a sigmoid (SigLIP) say of each description by itself whether it fits."""
        return self.model.logit_bias is not None
