"""A question to a model and the answer to it, as they are kept for ever: by content, not by file or row."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sensei.preferences.pair import Label

EMPTY, REFUSED, OUTSIDE, CUT = "empty", "refused", "outside the grammar", "cut off"  # why a reply is no answer


def picture_hash(image: np.ndarray) -> str:
    """Hex digest of a picture, uint8 [h, w, 3]: of its pixels and shape, however they were or will be compressed."""
    return hashlib.blake2b(repr(image.shape).encode() + image.tobytes(), digest_size=16).hexdigest()


def text_hash(text: str) -> str:
    """Hex digest of a text."""
    return hashlib.sha256(text.encode()).hexdigest()


def key_of(columns: tuple[str, ...]) -> str:
    """The key of a question from its `columns`."""
    return text_hash(json.dumps(columns))


@dataclass(frozen=True)
class Question:
    """All that an answer can depend on.

    first, second: `picture_hash` in the order shown; second is empty for a question about a single picture. text: with the inventory
    sentence. history: earlier turns, question and reply by turns. parameters: of sampling and of the request, name -> value.
    """

    first: str
    second: str
    text: str
    history: tuple[str, ...]
    prompt: str
    version: str
    model: str
    parameters: tuple[tuple[str, object], ...]

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """As stored; texts, which many questions share, by their SHA-256."""
        texts = [text_hash(text) for text in self.texts]
        return (self.first, self.second, *texts, self.prompt, self.version, self.model, json.dumps(dict(self.parameters), sort_keys=True))

    @property
    def texts(self) -> tuple[str, str]:
        """The question, and the history as JSON."""
        return self.text, json.dumps(self.history)

    @cached_property
    def key(self) -> str:
        """Under which the ledger knows it."""
        return key_of(self.columns)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back for a question.

    reply: raw. label: in the order shown; None, with `fault` saying why, if the reply is no answer. usd: what it cost. seconds: from
    sending to the last byte. attempts: times it was sent. server: host and port. request: the server's name of it. batch: likewise.
    """

    reply: str
    label: Label | None
    fault: str | None = None
    input_tokens: int = 0
    output_tokens: int = 0
    usd: float = 0.0
    seconds: float = 0.0
    attempts: int = 1
    server: str = ""
    request: str | None = None
    batch: str | None = None
