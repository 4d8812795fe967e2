"""From a question to the body of a chat completion, and from what came back to an answer. Nothing here talks to a server."""

import base64
import functools
import io
import json
import re
from typing import Any

import numpy as np
from PIL import Image

from sensei.annotators.prompts import Prompt
from sensei.annotators.questions import CUT, EMPTY, OUTSIDE, REFUSED, Answer
from sensei.annotators.vlm.chat import FIRST_TURN_TOKENS, Chat, Inquiry
from sensei.annotators.vlm.openai.cost import dollars, most_text_tokens, picture_tokens
from sensei.annotators.vlm.openai.failures import Failed, WebPage
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Side

GAP = 8  # white pixels between two pictures in one
STITCHED = "Both are in one picture, the first on the left and the second on the right."
KEPT = 10_000  # letters of a refusal
SHOWN = 300  # letters of a server's complaint in our messages
MOST_TOKENS = 10**7  # no model reads or writes more at once: a server that counts more has miscounted
LENGTHS = "length", "max_tokens"  # a completion's finish_reason if there were no tokens left
TITLE = re.compile(r"<title[^>]*>([^<]*)", re.IGNORECASE)


class Completions(Chat):
    """What one annotator says and understands in the API's words.

    Args:
        options: of the annotator.
        prompt: its prompt file.
    """

    def __init__(self, options: OpenAIOptions, prompt: Prompt):
        common = {"temperature": options.temperature, "detail": options.detail}
        of_pair = {"reply_tokens": options.reply_tokens, "stitched": options.stitched, "structured": options.structured}
        of_environment = {"reply_tokens": FIRST_TURN_TOKENS}
        super().__init__(prompt, options.model, common | of_pair, common | of_environment, STITCHED if options.stitched else "")
        self.options = options

    def body(self, inquiry: Inquiry) -> dict[str, Any]:
        """The request's body."""
        options, earlier, messages = self.options, inquiry.earlier, []
        if earlier:
            # A model that takes one picture at a time goes without the first one: its description is in the reply.
            shown = [] if options.stitched else [_picture(earlier.side, options.detail)]
            messages = [_message("user", [_text(earlier.text), *shown]), _message("assistant", [_text(earlier.reply)])]
        if options.stitched and len(inquiry.sides) == 2:
            pictures = [_image_url(_data_url(_side_by_side(*(side.image for side in inquiry.sides))), options.detail)]
        else:
            pictures = [_picture(side, options.detail) for side in inquiry.sides]
        messages.append(_message("user", [_text(inquiry.question.text), *pictures]))
        body = {"model": options.model, "messages": messages, "max_tokens": most_reply_tokens(inquiry)}
        if options.temperature is not None:
            body["temperature"] = options.temperature
        if options.structured and len(inquiry.sides) == 2:
            body["response_format"] = {"type": "json_schema", "json_schema": self._schema()}
        return body

    def _schema(self) -> dict[str, Any]:
        answer = {"type": "string", "enum": list(self.prompt.answers)}
        schema = {"type": "object", "properties": {"answer": answer}, "required": ["answer"], "additionalProperties": False}
        return {"name": "comparison", "strict": True, "schema": schema}

    def input_tokens(self, inquiry: Inquiry, count: Any = most_text_tokens) -> int:
        """Tokens of a question, its texts counted by `count`: at most, or as expected (`sensei.annotators.vlm.openai.cost`)."""
        shown = list(inquiry.sides) + ([inquiry.earlier.side] if inquiry.earlier and not self.options.stitched else [])
        shapes = [side.image.shape[:2] for side in shown]
        if self.options.stitched and len(shown) == 2:
            (height, left), (_, right) = shapes
            shapes = [(height, left + GAP + right)]
        pictures = sum(picture_tokens(height, width, self.options) for height, width in shapes)
        return pictures + count(inquiry.question.text, *inquiry.question.history)

    def most_usd(self, inquiry: Inquiry) -> float:
        """What a question can cost at most."""
        return self._usd(inquiry, self.input_tokens(inquiry), most_reply_tokens(inquiry))

    def _usd(self, inquiry: Inquiry, input_tokens: int, output_tokens: int) -> float:
        batch = self.options.requests.batch and len(inquiry.sides) == 2  # a first turn is never put off
        return dollars(input_tokens, output_tokens, self.options.prices, batch)

    def read(self, inquiry: Inquiry, content: bytes | dict[str, Any], **circumstances: Any) -> Answer:
        """The answer in a response's body, be it JSON or not; `circumstances` are further fields of `Answer`.

        A first turn's reply has neither label nor fault. Usage that the server does not state is taken to be the most there can be.

        Raises:
            Failed: it is no chat completion, or a first turn's without a text.
        """
        completion = _decoded(content) if isinstance(content, bytes) else content
        match completion:
            case {"choices": [{"message": {} as message} as choice, *_]} if not choice.get("error"):
                text, refusal = _content(message)
                end = choice.get("finish_reason")
            case _:
                text = end = None
        if text is None or end == "error":
            raise Failed(f"no chat completion but {said(completion)}", usd=self._stated_usd(inquiry, completion))
        label = fault = None
        if refusal or end == "content_filter":
            text, fault = (refusal or text)[:KEPT], REFUSED
        elif end in LENGTHS and (len(inquiry.sides) == 2 or not text.strip()):
            fault = CUT  # "1" may have been the beginning of "10"
        elif not text.strip():
            fault = EMPTY
        elif len(inquiry.sides) == 2:
            label = self.prompt.read(text)
            fault = OUTSIDE if label is None else None
        tokens = self._tokens(inquiry, completion.get("usage"))
        usd = self._usd(inquiry, *tokens)
        if fault and len(inquiry.sides) == 1:
            raise Failed(f"a reply that is {fault}: {text}"[:SHOWN], usd=usd)
        text = text.encode(errors="replace").decode()  # half a surrogate is JSON, but no text
        return Answer(text, label, fault, input_tokens=tokens[0], output_tokens=tokens[1], usd=usd, **circumstances)

    def _tokens(self, inquiry: Inquiry, usage: Any) -> tuple[int, int]:
        """Tokens of question and reply, as far as the server states them."""
        given = [usage.get(name) if isinstance(usage, dict) else None for name in ("prompt_tokens", "completion_tokens")]
        most = self.input_tokens(inquiry), most_reply_tokens(inquiry)
        return tuple(count if type(count) is int and 0 <= count <= MOST_TOKENS else limit for count, limit in zip(given, most, strict=True))

    def _stated_usd(self, inquiry: Inquiry, content: Any) -> float:
        """What a body that is no chat completion says that it cost: nothing, unless there are tokens or choices in it."""
        if isinstance(content, dict) and (content.get("usage") or content.get("choices")):
            return self._usd(inquiry, *self._tokens(inquiry, content.get("usage")))
        return 0.0


def said(content: Any) -> str:
    """What a JSON body that is no chat completion says, shortened to a line."""
    complaint = content
    for name in ("error", "detail", "message"):
        if isinstance(complaint, dict) and complaint.get(name):
            complaint = complaint[name]
    return " ".join(str(complaint).split())[:SHOWN]


def _decoded(content: bytes) -> Any:
    """The JSON in a body.

    Raises:
        Failed: it is none; a web page and an empty body cost nothing, but what looks like a part of a reply may have been charged.
    """
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        text = content[:KEPT].decode(errors="replace").strip()
    if not text:
        raise Failed("no chat completion but an empty body")
    if text.startswith("<"):
        title = TITLE.search(text)
        raise WebPage(f"no chat completion but a web page: {' '.join((title[1] if title else text).split())[:SHOWN]}")
    raise Failed(f"no chat completion but {' '.join(text.split())[:SHOWN]}", usd=None)


def _content(message: dict[str, Any]) -> tuple[str | None, str | None]:
    """(text, refusal) of a message, whose content may be a text, a number, or parts of which those with text count."""
    refusal = message.get("refusal")
    match message.get("content"):
        case None:
            text = ""
        case bool():
            text = None
        case str() | int() as content:
            text = str(content)
        case [*parts]:
            texts = [part.get("text") if isinstance(part, dict) and part.get("type") in ("text", "output_text") else part for part in parts]
            text = "".join(part for part in texts if isinstance(part, str))
            refusal = refusal or next((part["refusal"] for part in parts if isinstance(part, dict) and part.get("refusal")), None)
        case _:
            text = None
    return text, str(refusal) if refusal else None


def most_reply_tokens(inquiry: Inquiry) -> int:
    """Most tokens of the reply to a question."""
    return dict(inquiry.question.parameters)["reply_tokens"]


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
