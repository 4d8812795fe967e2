"""Why a request brought no answer: what it may have cost, whether to ask again, and what the reader can change."""

import re


class Failed(Exception):
    """An attempt without an answer; the message says why, in the server's words where it has any.

    Attributes:
        usd: what the server may have charged for it; None: as much as the question can cost.
        again: whether another attempt may succeed.
        after: seconds that the server asks to wait before it.
    """

    def __init__(self, why: str, *, usd: float | None = 0.0, again: bool = True, after: float = 0.0):
        super().__init__(why)
        self.usd, self.again, self.after = usd, again, after


class WebPage(Failed):
    """HTML came back: no API is at that address, or something stands before it."""


class Rejected(Failed):
    """The server will never answer this question, but may answer others."""

    def __init__(self, why: str):
        super().__init__(why, again=False)


PICTURE = r"(?:images?|pictures?)\b(?!.{0,60}\b(?:size|large|bytes|mb|pixels?|dimensions?|resolution)\b)"
NO_PICTURES = re.compile(
    rf"(?:not|n't) (?:support|accept|take|allow)\w* (?:\w+ )?{PICTURE}|{PICTURE}.{{0,30}}not supported|image_url is only supported"
    r"|not a multimodal|text[- ]only",
    re.I,
)
MANY_PICTURES = re.compile(
    rf"(?:at most|only|maximum|limit\w*|too many|more than|exceed\w*|single|multiple|up to|number of)\b.{{0,30}}\b{PICTURE}"
    rf"|{PICTURE}.{{0,30}}\b(?:at most|too many|exceed|limit)|limit-mm-per-prompt",
    re.I,
)
TEMPERATURE = re.compile(r"\btemperature\b", re.I)
LENGTH = re.compile(r"max_tokens|max_completion_tokens|max_new_tokens|context (?:length|window|size)|too long|output limit", re.I)
UNSUITABLE = re.compile(r"content_policy|content_filter|content policy|safety system", re.I)
PICTURES = re.compile(r"image|picture", re.I)
UNKNOWN = re.compile(
    r"unsupported|(?:not|n't) support|unrecogni[sz]ed|unknown|unexpected|extra|not permitted|not allowed|not available|use '?max_completion"
    r"|not enabled|forbidden",
    re.I,
)
SETTINGS = {  # of the whole annotator
    NO_PICTURES: "the model takes no pictures: set `model` to one that does",
    MANY_PICTURES: "set `stitched: true`, which shows both pictures in one",
    TEMPERATURE: "set `temperature: null`, which sends none",
}
REPLY_TOKENS = "set `reply_tokens`, the most that a reply may have, to what the model allows and needs"


def unsupported(names: set[str], complaint: str) -> set[str]:
    """Those of the request's fields `names` that a server complains not to know; a value that it finds wrong is another matter."""
    return {name for name in names if name in complaint} if UNKNOWN.search(complaint) else set()


def about_one_question(complaint: str) -> bool:
    """Whether a refusal speaks of this question alone: of its length or its pictures."""
    if any(pattern.search(complaint) for pattern in SETTINGS):
        return False
    return any(pattern.search(complaint) for pattern in (LENGTH, UNSUITABLE, PICTURES))


def remedy(complaint: str) -> str | None:
    """Which of the annotator's settings a complaint is about, and what it should be."""
    for pattern, hint in SETTINGS.items():
        if pattern.search(complaint):
            return hint
    return REPLY_TOKENS if LENGTH.search(complaint) else None
