"""A Hugging Face model of the kind image-text-to-text with its own processor and chat template."""

import hashlib
from collections.abc import Sequence
from os.path import commonprefix
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor, set_seed

from sensei.annotators.prompts import Prompt
from sensei.annotators.vlm.chat import Inquiry
from sensei.core.devices import device_of
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Side

SAMPLE = 64  # weights of each parameter by which a model is known


class Choices(NamedTuple):
    """What all answers begin with, and the first token in which they differ -> answer."""

    begin: str
    answers: dict[int, str]


class Message(NamedTuple):
    """One turn of a conversation."""

    role: str
    text: str
    sides: tuple[Side, ...] = ()


class LocalModel:
    """A model that looks at pictures and answers in words.

    Args:
        name: folder, or id on the hub.
        revision: on the hub.
        dtype: of the weights.
        device: `auto`: a GPU if there is one.

    Raises:
        SenseiError: the model cannot be loaded, or has no chat template.
    """

    def __init__(self, name: str, revision: str | None = None, dtype: str = "auto", device: str = "auto"):
        self.name = name
        device = device_of(device)
        try:
            self.processor = AutoProcessor.from_pretrained(name, revision=revision)
            self.model = AutoModelForImageTextToText.from_pretrained(name, revision=revision, dtype=dtype).to(device)
        except (OSError, ValueError, ImportError) as error:
            reason = (str(error) or type(error).__name__).strip().splitlines()[0]
            hint = "give `model` a folder or an id of the hub whose model is of the kind image-text-to-text"
            raise SenseiError(f"there is no vision-language model {name} to load", found=reason, hint=hint) from error
        if getattr(self.processor, "chat_template", None) is None:
            raise SenseiError(f"the model {name} has no chat template", hint="use a model that is tuned to follow instructions")
        self.model.eval().requires_grad_(False)
        self.weights = _fingerprint(self.model)
        self.tokenizer = self.processor.tokenizer
        self.tokenizer.padding_side = "left"  # so that every prompt ends where its reply begins
        self.tokenizer.pad_token = self.tokenizer.pad_token or self.tokenizer.eos_token

    def choices(self, prompt: Prompt) -> Choices:
        """What tells the answers of a prompt apart.

        Raises:
            SenseiError: no single token does.
        """
        tokens = {answer: self.tokenizer(answer, add_special_tokens=False).input_ids for answer in prompt.answers}
        shared = len(commonprefix(list(tokens.values())))
        telling = {ids[shared]: answer for answer, ids in tokens.items() if len(ids) > shared}
        if len(telling) < len(tokens) or self.tokenizer.unk_token_id in telling:
            raise SenseiError(
                f"the model {self.name} does not tell the answers of prompt {prompt.name} apart by a token",
                found=", ".join(f"{answer!r}: {ids}" for answer, ids in tokens.items()),
                hint="set `choice: text`, or use other answers in the prompt's grammar",
            )
        return Choices(self.tokenizer.decode(next(iter(tokens.values()))[:shared]), telling)

    @torch.inference_mode()
    def choose(self, inquiries: Sequence[Inquiry], choices: Choices) -> np.ndarray:
        """Probability of each of `choices`, float32 [N, answers], as the reply to each question."""
        logits = self.model(**self.inputs(inquiries, choices.begin), logits_to_keep=1).logits[:, -1, list(choices.answers)]
        return logits.float().softmax(1).cpu().numpy()

    @torch.inference_mode()
    def generate(self, inquiries: Sequence[Inquiry], tokens: int, temperature: float, seed: int) -> list[str]:
        """A reply of at most `tokens` tokens to each question; `temperature` 0 always takes the most probable token."""
        inputs = self.inputs(inquiries)
        sampling = {"do_sample": True, "temperature": temperature} if temperature else {"do_sample": False}
        set_seed(seed)
        output = self.model.generate(**inputs, max_new_tokens=tokens, pad_token_id=self.tokenizer.pad_token_id, **sampling)
        return self.processor.batch_decode(output[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)

    def inputs(self, inquiries: Sequence[Inquiry], begun: str = "") -> dict[str, torch.Tensor]:
        """What the model takes of questions whose replies begin with `begun`."""
        talks = [_conversation(inquiry) for inquiry in inquiries]
        texts = [self.processor.apply_chat_template(_shown(talk), add_generation_prompt=True) + begun for talk in talks]
        pictures = [[Image.fromarray(side.image) for message in talk for side in message.sides] for talk in talks]
        inputs = self.processor(text=texts, images=pictures, padding=True, return_tensors="pt").to(self.model.device)
        return {name: value.to(self.model.dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def _conversation(inquiry: Inquiry) -> list[Message]:
    before, earlier = [], inquiry.earlier
    if earlier:
        before = [Message("user", earlier.text, (earlier.side,)), Message("assistant", earlier.reply)]
    return [*before, Message("user", inquiry.question.text, inquiry.sides)]


def _shown(talk: list[Message]) -> list[dict]:
    """A conversation as chat templates take it: pictures before text."""
    return [{"role": role, "content": [*({"type": "image"} for _ in sides), {"type": "text", "text": text}]} for role, text, sides in talk]


def _fingerprint(model: torch.nn.Module) -> str:
    """Hex digest of some weights of every parameter: a folder of the same name may hold another model tomorrow."""
    digest = hashlib.blake2b(digest_size=16)
    for weights in model.parameters():
        digest.update(weights.detach().flatten()[:: max(1, weights.numel() // SAMPLE)].float().cpu().numpy().tobytes())
    return digest.hexdigest()
