"""From a pair to the body of a chat completion, and from what came back to an answer. Nothing here talks to a server."""

import base64
import functools
import io
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from sensei.annotators.ledger import Answer, Question, picture_hash
from sensei.annotators.prompts import Prompt
from sensei.annotators.vlm.openai.cost import dollars, most_text_tokens, picture_tokens
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Reply, Side
from sensei.study.models.annotators import OpenAIConfig

GAP = 8  # white pixels between two pictures in one
STITCHED = "Both are in one picture, the first on the left and the second on the right."
FIRST_TURN_TOKENS = 1000  # of the reply that describes the environment, once
KEPT = 10_000  # letters of a reply that is not what was asked for
EMPTY, REFUSED, OUTSIDE, NO_COMPLETION, REJECTED = "empty", "refused", "outside the grammar", "no chat completion", "rejected"


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question with the pictures it is about: two, or one."""

    question: Question
    sides: tuple[Side, ...]


class Chat:
    """What one annotator says and understands.

    config: of the annotator. prompt: its prompt file.
    """

    def __init__(self, config: OpenAIConfig, prompt: Prompt):
        self.config, self.prompt = config, prompt
        self._earlier: Side | None = None

    def about_environment(self, side: Side) -> Inquiry:
        """The prompt's first turn, about one picture."""
        self._earlier = side
        return Inquiry(self._question(_hash(side.frames, side.frame, side.view), "", self.prompt.first_turn, ()), (side,))

    def about(self, pair: Pair, history: tuple[str, ...]) -> Inquiry:
        """The question about a pair; `history` is the first turn with its reply, if the prompt has one."""
        text = self.prompt.question(pair)
        text = f"{text}\n\n{STITCHED}" if self.config.stitched else text
        first, second = (_hash(side.frames, side.frame, side.view) for side in (pair.first, pair.second))
        return Inquiry(self._question(first, second, text, history), (pair.first, pair.second))

    def _question(self, first: str, second: str, text: str, history: tuple[str, ...]) -> Question:
        config, prompt = self.config, self.prompt
        limit = config.reply_tokens if second else FIRST_TURN_TOKENS
        chosen = {"temperature": config.temperature, "reply_tokens": limit, "detail": config.detail}
        chosen |= {"stitched": config.stitched, "structured": config.structured} if second else {}
        return Question(first, second, text, history, prompt.name, prompt.version, config.model, tuple(chosen.items()))

    def body(self, inquiry: Inquiry) -> dict[str, Any]:
        """The request's body."""
        question, config = inquiry.question, self.config
        messages = []
        if question.history:
            asked, replied = question.history
            # A model that takes one picture at a time goes without the first one: its description is in the reply.
            shown = [] if config.stitched else [_picture(self._earlier, config.detail)]
            messages = [_message("user", [_text(asked), *shown]), _message("assistant", [_text(replied)])]
        if config.stitched and len(inquiry.sides) == 2:
            pictures = [_image_url(_data_url(_side_by_side(*(side.image for side in inquiry.sides))), config.detail)]
        else:
            pictures = [_picture(side, config.detail) for side in inquiry.sides]
        messages.append(_message("user", [_text(question.text), *pictures]))
        body = {"model": config.model, "messages": messages, "max_tokens": dict(question.parameters)["reply_tokens"]}
        if config.temperature is not None:
            body["temperature"] = config.temperature
        if config.structured and len(inquiry.sides) == 2:
            body["response_format"] = {"type": "json_schema", "json_schema": self._schema()}
        return body

    def _schema(self) -> dict[str, Any]:
        answer = {"type": "string", "enum": list(self.prompt.answers)}
        schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
        return {"name": "comparison", "strict": True, "schema": schema}

    def input_tokens(self, inquiry: Inquiry, count: Any = most_text_tokens) -> int:
        """Tokens of a question, its texts counted by `count`: at most, or as expected (`sensei.annotators.vlm.openai.cost`)."""
        shown = list(inquiry.sides) + ([self._earlier] if inquiry.question.history and not self.config.stitched else [])
        shapes = [side.image.shape[:2] for side in shown]
        if self.config.stitched and len(shown) == 2:
            (height, left), (_, right) = shapes
            shapes = [(height, left + GAP + right)]
        pictures = sum(picture_tokens(height, width, self.config) for height, width in shapes)
        return pictures + count(inquiry.question.text, *inquiry.question.history)

    def most_usd(self, inquiry: Inquiry) -> float:
        """What a question can cost at most."""
        return self._usd(inquiry, self.input_tokens(inquiry), dict(inquiry.question.parameters)["reply_tokens"])

    def _usd(self, inquiry: Inquiry, input_tokens: int, output_tokens: int) -> float:
        batch = self.config.requests.batch and len(inquiry.sides) == 2  # a first turn is never put off
        return dollars(input_tokens, output_tokens, self.config.prices, batch)

    def read(self, inquiry: Inquiry, content: bytes | dict[str, Any], **circumstances: Any) -> Answer:
        """The answer in a response's body, be it JSON or not; `circumstances` are further fields of `Answer`.

        A first turn's reply has neither label nor fault. Usage that the server does not state is taken to be the most there can be.
        """
        try:
            completion = json.loads(content) if isinstance(content, bytes) else content
            choice = completion["choices"][0]
            message = choice["message"]
            text, refusal = message.get("content") or "", message.get("refusal")
            assert isinstance(text, str)
        except (ValueError, LookupError, TypeError, AttributeError, AssertionError, RecursionError):
            raw = content.decode(errors="replace") if isinstance(content, bytes) else json.dumps(content)
            return self._answer(inquiry, {}, reply=raw[:KEPT], label=None, fault=NO_COMPLETION, **circumstances)
        label = fault = None
        if refusal or choice.get("finish_reason") == "content_filter":
            text, fault = str(refusal or text)[:KEPT], REFUSED
        elif not text.strip():
            fault = EMPTY
        elif inquiry.question.second:
            label = self.prompt.read(text)
            fault = OUTSIDE if label is None else None
        return self._answer(inquiry, completion.get("usage") or {}, reply=text, label=label, fault=fault, **circumstances)

    def _answer(self, inquiry: Inquiry, usage: Any, **fields: Any) -> Answer:
        given = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
        most = self.input_tokens(inquiry), dict(inquiry.question.parameters)["reply_tokens"]
        tokens = [count if isinstance(count, int) and count >= 0 else limit for count, limit in zip(given, most, strict=True)]
        fields["reply"] = fields["reply"].encode(errors="replace").decode()  # half a surrogate is JSON, but no text
        return Answer(input_tokens=tokens[0], output_tokens=tokens[1], usd=self._usd(inquiry, *tokens), **fields)


def reply_to(pair: Pair, answer: Answer) -> Reply:
    """A pair's reply: one that cannot be read is unknown, with its fault; a picture that was rejected is an error."""
    if answer.fault == REJECTED:
        return Reply(pair.pair, pair.swapped, "", None, f"the server rejected a picture: {answer.reply}")
    return Reply(pair.pair, pair.swapped, answer.reply, Label.UNKNOWN if answer.label is None else answer.label, fault=answer.fault)


def _message(role: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"role": role, "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "text", "text": text}


def _picture(side: Side, detail: str) -> dict[str, Any]:
    return _image_url(_frame_url(side.frames, side.frame, side.view), detail)


def _image_url(url: str, detail: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": detail}}


def _side_by_side(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    return np.concatenate([first, np.full((len(first), GAP, 3), 255, np.uint8), second], axis=1)


def _data_url(image: np.ndarray) -> str:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return f"data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}"


@functools.lru_cache(maxsize=2048)  # a few hundred megabytes at most
def _frame_url(frames: Frames, frame: int, view: str | None) -> str:
    return _data_url(Side(frames, frame, {}, view).image)


@functools.lru_cache(maxsize=2**20)
def _hash(frames: Frames, frame: int, view: str | None) -> str:
    return picture_hash(Side(frames, frame, {}, view).image)
