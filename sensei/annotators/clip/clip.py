"""Zero-shot preferences of a CLIP model: both pictures are compared with the prompt file's descriptions, without a question in words."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import open_clip
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch import Tensor

from sensei.annotators.prompts import PLACE, Prompt
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label, Pair, Reply, Side

PAIRS_AT_ONCE = 1024


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
        self.device = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
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


class ClipAnnotator:
    """Prefers the picture that the prompt's more interesting descriptions fit.

    `positive` of the prompt file lists descriptions, the most interesting first; the place of the inventory sentence among them is
    marked with {inventory}, since what the player carries is told to language models too and is not in the picture. The score of a
    picture is the expected rank of its most interesting true description, from 1 (the first) to 0 (none), each true with the
    probability that the picture fits it rather than the `negative` descriptions.

    Args:
        clip: the model.
        prompt: its `positive` and `negative` descriptions, and the state behind its inventory sentence.
        margin: two pictures whose scores differ by no more are a tie; if neither is above it, nothing of interest is in either: unknown.

    Raises:
        SenseiError: the prompt has no descriptions.
    """

    def __init__(self, clip: Clip, prompt: Prompt, margin: float):
        if not prompt.positive or not prompt.negative:
            raise SenseiError(
                f"prompt {prompt.name} has no descriptions to compare pictures with",
                expected="`positive` and `negative` in its header",
                hint="add them, or choose another prompt with the annotator's `prompt`",
            )
        self.clip, self.prompt, self.margin = clip, prompt, margin
        self._seen = [text for text in prompt.positive if text != PLACE]
        self._descriptions = clip.encode_texts([*self._seen, *prompt.negative])
        self._known: dict[tuple[str | None, int], np.ndarray] = {}

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; its text holds both scores."""
        pairs = iter(pairs)
        while part := list(islice(pairs, PAIRS_AT_ONCE)):
            self._look_at([side for pair in part for side in (pair.first, pair.second)])
            for pair in part:
                first, second = self.score(pair.first), self.score(pair.second)
                answer = self.prefer(first, second)
                yield Reply(pair.pair, pair.swapped, f"{answer.name} {first:.4f} {second:.4f}", answer)

    def prefer(self, first: float, second: float) -> Label:
        """The label of two scores."""
        if abs(first - second) > self.margin:
            return Label.FIRST if first > second else Label.SECOND
        return Label.TIE if max(first, second) > self.margin else Label.UNKNOWN

    def score(self, side: Side) -> float:
        """Expected rank of the most interesting true description of a side that was looked at, in [0, 1]."""
        fits = iter(self._known[side.view, side.frame])
        held = PLACE in self.prompt.positive and self.prompt.carries(side)
        chances = [float(held) if text == PLACE else next(fits) for text in self.prompt.positive]
        return expected_rank(np.array(chances))

    def _look_at(self, sides: list[Side]) -> None:
        """Compare pictures that were not seen before with the descriptions."""
        new = {(side.view, side.frame): side for side in sides if (side.view, side.frame) not in self._known}
        if new:
            logits = self.clip.logits(self.clip.encode_pictures(side.image for side in new.values()), self._descriptions)
            count = len(self._seen)
            self._known |= dict(zip(new, fit(logits[:, :count], logits[:, count:], self.clip.absolute), strict=True))


def fit(positive: np.ndarray, negative: np.ndarray, absolute: bool) -> np.ndarray:
    """Probability that each description fits rather than the negative ones, float64 [P, n].

    Args:
        positive: logits [P, n].
        negative: logits [P, m], of which the mean of the exponentials counts, so that their number does not matter.
        absolute: whether logits have a zero, which then stands for "neither fits".
    """
    others = np.logaddexp.reduce(negative, axis=1, keepdims=True) - np.log(negative.shape[1])
    if absolute:
        others = np.logaddexp(others, 0)
    return 0.5 * (1 + np.tanh((positive - others) / 2))  # the sigmoid, which does not overflow in this form


def expected_rank(chances: np.ndarray) -> float:
    """Expected rank of the first of n independent events that happens, (n - i) / n for event i and 0 if none does.

    Args:
        chances: probability of each event, [n].
    """
    ranks = 1 - np.arange(len(chances)) / len(chances)
    none_before = np.cumprod(np.concatenate([[1.0], 1 - chances[:-1]]))
    return float((ranks * chances * none_before).sum())
