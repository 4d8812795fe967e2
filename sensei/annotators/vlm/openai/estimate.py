"""What a model behind an API would cost, before anything is sent."""

from collections.abc import Iterable
from pathlib import Path

from sensei.annotators.ledger import Ledger
from sensei.annotators.prompts import Prompt
from sensei.annotators.vlm.chat import FIRST_TURN_TOKENS, FirstTurn
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.cost import ANSWER_TOKENS, LETTERS, Estimate, dollars, text_tokens
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.preferences.pair import Pair, Side

SECONDS = 1.5  # of a request to a model of which the ledger has no answer
REPLY = "x" * (LETTERS * FIRST_TURN_TOKENS // 2)  # a first turn's reply, about as long as one is


def estimate(options: OpenAIOptions, prompt: Prompt, ledger_path: Path, pairs: Iterable[Pair]) -> Estimate:
    """What asking about `pairs` would take, less what the ledger knows.

    Args:
        options: of the annotator.
        prompt: what it is asked.
        ledger_path: the ledger; it need not exist.
        pairs: in the order shown, as the annotator would get them.
    """
    chat, ledger = Completions(options, prompt), Ledger(ledger_path) if ledger_path.exists() else None
    find = ledger.find if ledger else lambda question: None
    count = known = tokens = 0
    numbers, earlier = set(), None
    for pair in pairs:
        if prompt.first_turn and earlier is None:
            side = Side(pair.first.frames, 0, {})
            answer = find(chat.about_environment(side).question)
            earlier = FirstTurn(side, prompt.first_turn, answer.reply if answer else REPLY)
        inquiry = chat.about(pair, earlier)
        count += 1
        numbers.add(pair.pair)
        if find(inquiry.question):
            known += 1
        else:
            tokens += chat.input_tokens(inquiry, text_tokens)
    asked = count - known
    replies = min(ANSWER_TOKENS, options.reply_tokens) * asked
    seconds = _seconds(options, asked, tokens, (ledger and ledger.typical_seconds(options.model)) or SECONDS)
    return Estimate(len(numbers), count, known, tokens, replies, dollars(tokens, replies, options.prices, options.requests.batch), seconds)


def _seconds(options: OpenAIOptions, asked: int, tokens: int, latency: float) -> float:
    """Time of the slowest of the three limits: requests at once, requests a minute, tokens a minute."""
    requests = options.requests
    seconds = [asked * latency / requests.at_once]
    if requests.per_minute:
        seconds.append(60 * asked / requests.per_minute)
    if requests.tokens_per_minute:
        seconds.append(60 * (tokens + asked * options.reply_tokens) / requests.tokens_per_minute)
    return max(seconds)
