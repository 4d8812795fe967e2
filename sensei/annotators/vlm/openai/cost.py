"""What questions to a model behind an API cost: tokens as its provider counts them, and dollars."""

import math
from dataclasses import dataclass

from sensei.annotators.vlm.openai.options import OpenAIOptions, Prices

LETTERS = 4  # of English text in a token, the providers' rule of thumb
FRAME_TOKENS = 10  # what the roles and separators of a conversation take
LARGEST, SHORT_SIDE, TILE = 2048, 768, 512  # pictures in high detail: fitted into a square, shrunk, cut into tiles
PATCH, MOST_PATCHES = 32, 1536
ANSWER_TOKENS = 10  # more than an answer of the grammar takes


def picture_tokens(height: int, width: int, options: OpenAIOptions) -> int:
    """Tokens of a picture of `height` x `width` pixels (OpenAI's guide "Images and vision", section "Calculating costs").

    Models that count tiles: a fixed number in low detail; in high detail the picture is fitted into 2048 x 2048, shrunk until its short
    side is at most 768, and each tile of 512 x 512 that it touches adds to that number. Models that count patches of 32 x 32: one token
    each, times the model's factor, of at most 1536 patches. Detail "auto" is taken for "high".
    """
    prices = options.prices
    if prices.pictures == "patches":
        return math.ceil(min(math.ceil(height / PATCH) * math.ceil(width / PATCH), MOST_PATCHES) * prices.patch_factor)
    base, tile = prices.tile_tokens
    if options.detail == "low":
        return base
    scale = min(1.0, LARGEST / max(height, width))
    scale = min(scale, SHORT_SIDE / min(height, width))
    return base + tile * math.ceil(round(height * scale) / TILE) * math.ceil(round(width * scale) / TILE)


def text_tokens(*texts: str) -> int:
    """Tokens that English texts should take."""
    return FRAME_TOKENS + sum(math.ceil(len(text) / LETTERS) for text in texts)


def most_text_tokens(*texts: str) -> int:
    """Tokens that texts can take at most: no tokeniser makes more than there are bytes."""
    return FRAME_TOKENS + sum(len(text.encode()) for text in texts)


def dollars(input_tokens: int, output_tokens: int, prices: Prices, batch: bool) -> float:
    """Price in US dollars."""
    full = (input_tokens * prices.input_per_million + output_tokens * prices.output_per_million) / 1e6
    return full * (1 - prices.batch_discount) if batch else full


@dataclass(frozen=True, slots=True)
class Estimate:
    """What is about to be asked about a number of pairs. known: questions that the ledger answers already."""

    pairs: int
    questions: int
    known: int
    input_tokens: int
    output_tokens: int
    usd: float
    seconds: float

    def lines(self, options: OpenAIOptions) -> list[str]:
        """For people."""
        prices = options.prices
        cost = f"{prices.input_per_million:g} $ and {prices.output_per_million:g} $ per million tokens of questions and replies"
        since = f" as of {prices.as_of}" if prices.as_of else ""
        half = f", Batch API {prices.batch_discount:.0%} less" if options.requests.batch else ""
        speed = "within 24 hours, usually much sooner (Batch API)" if options.requests.batch else f"about {_duration(self.seconds)}"
        limit = "no limit set (`max_usd`)" if options.max_usd is None else f"`max_usd` {options.max_usd:g} $ for all questions to the model"
        if not (prices.input_per_million or prices.output_per_million):
            limit = "no `prices` are given: nothing is counted, and `max_usd` stops nothing"
        return [
            f"model    {options.model}",
            f"pairs    {self.pairs}: {self.questions} questions, of which the ledger answers {self.known}",
            f"tokens   {self.input_tokens} of questions, {self.output_tokens} of replies",
            f"price    {self.usd:.2f} $ ({cost}{since}{half}); {limit}",
            f"time     {speed}",
        ]


def _duration(seconds: float) -> str:
    minutes = math.ceil(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
