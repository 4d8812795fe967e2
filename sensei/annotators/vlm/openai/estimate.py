"""What a model behind an API would cost, before anything is sent."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensei.annotators.ledger import Ledger
from sensei.annotators.prompts import load_prompt
from sensei.annotators.vlm.chat import FIRST_TURN_TOKENS, Chat
from sensei.annotators.vlm.openai.cost import ANSWER_TOKENS, LETTERS, Estimate, dollars, text_tokens
from sensei.preferences.pair import Pair, Side
from sensei.study.models.annotators import OpenAIConfig

SECONDS = 1.5  # of a request to a model of which the ledger has no answer
REPLY = "x" * (LETTERS * FIRST_TURN_TOKENS // 2)  # a first turn's reply, about as long as one is


def estimate(config: OpenAIConfig, prompt_name: str, ledger_path: Path, pairs: Iterable[Pair]) -> Estimate:
    """What asking about `pairs` would take, less what the ledger knows.

    Args:
        config: of the annotator.
        prompt_name: name or path of its prompt.
        ledger_path: the ledger; it need not exist.
        pairs: in the order shown, as the annotator would get them.
    """
    prompt = load_prompt(prompt_name)
    chat, ledger = Chat(config, prompt), Ledger(ledger_path if ledger_path.exists() else ":memory:")
    count = known = tokens = 0
    numbers, history = set(), ()
    for pair in pairs:
        if prompt.first_turn and not history:
            first = chat.about_environment(Side(pair.first.frames, 0, {}))
            answer = ledger.find(first.question)
            history = prompt.first_turn, answer.reply if answer else REPLY
        inquiry = chat.about(pair, history)
        count += 1
        numbers.add(pair.pair)
        if ledger.find(inquiry.question):
            known += 1
        else:
            tokens += chat.input_tokens(inquiry, text_tokens)
    asked = count - known
    replies = min(ANSWER_TOKENS, config.reply_tokens) * asked
    seconds = _seconds(config, asked, tokens, ledger.typical_seconds(config.model) or SECONDS)
    return Estimate(len(numbers), count, known, tokens, replies, dollars(tokens, replies, config.prices, config.requests.batch), seconds)


def _seconds(config: OpenAIConfig, asked: int, tokens: int, latency: float) -> float:
    """Time of the slowest of the three limits: requests at once, requests a minute, tokens a minute."""
    requests = config.requests
    seconds = [asked * latency / requests.at_once]
    if requests.per_minute:
        seconds.append(60 * asked / requests.per_minute)
    if requests.tokens_per_minute:
        seconds.append(60 * (tokens + asked * config.reply_tokens) / requests.tokens_per_minute)
    return max(seconds)


@dataclass(frozen=True, eq=False)
class _Blank:
    """A frames file of one white picture, uint8 [1, h, w, 3], in every view."""

    image: np.ndarray

    def of(self, view: str | None) -> np.ndarray:
        """See `Frames.of`."""
        return self.image


def blank_pairs(number: int, repeats: float, shape: tuple[int, int, int], prompt_name: str) -> Iterable[Pair]:
    """`number` pairs before there are any, each asked `repeats` times: pictures of `shape` [h, w, 3], and what the inventory sentence
    of the prompt speaks of.
    """
    inventory = load_prompt(prompt_name).inventory
    frames = _Blank(np.full((1, *shape), 255, np.uint8))
    side = Side(frames, 0, {inventory["state"]: 1.0} if inventory else {})
    return (Pair(question % number, False, side, side) for question in range(round(repeats * number)))
