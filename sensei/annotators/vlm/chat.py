"""What a vision-language model is asked in words, and what its answers mean; how it is asked is up to each kind."""

import functools
from dataclasses import dataclass
from pathlib import Path

from sensei.annotators.prompts import Prompt
from sensei.annotators.questions import Answer, Question, picture_hash
from sensei.core.files import remove_temporaries, write_json
from sensei.core.locks import held
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Reply, Side

FIRST_TURN_TOKENS = 1000  # of the reply that describes the environment, once
Parameters = dict[str, object]


@dataclass(frozen=True, slots=True)
class FirstTurn:
    """What a model was asked once, about one picture, and its reply: the history of every question about a pair."""

    side: Side
    text: str
    reply: str


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question with the pictures it is about, two or one, and what came before it."""

    question: Question
    sides: tuple[Side, ...]
    earlier: FirstTurn | None = None


class Chat:
    """Questions to one model, as the ledger knows them.

    Args:
        prompt: what is asked.
        model: name of the model.
        of_pair, of_environment: what answers depend on besides, in questions about a pair and in the prompt's first turn.
        remark: what a question about a pair ends with; "" for nothing.
    """

    def __init__(self, prompt: Prompt, model: str, of_pair: Parameters, of_environment: Parameters, remark: str = ""):
        self.prompt, self.model, self._remark = prompt, model, remark
        self._of_pair, self._of_environment = tuple(of_pair.items()), tuple(of_environment.items())

    def about_environment(self, side: Side) -> Inquiry:
        """The prompt's first turn, about one picture."""
        return Inquiry(self._question(self.prompt.first_turn, (), self._of_environment, side), (side,))

    def about(self, pair: Pair, earlier: FirstTurn | None = None) -> Inquiry:
        """The question about a pair; `earlier` is the first turn, if the prompt has one."""
        text, sides = self.prompt.question(pair), (pair.first, pair.second)
        text = f"{text}\n\n{self._remark}" if self._remark else text
        history = (earlier.text, earlier.reply) if earlier else ()
        return Inquiry(self._question(text, history, self._of_pair, *sides), sides, earlier)

    def _question(self, text: str, history: tuple[str, ...], parameters: tuple[tuple[str, object], ...], *sides: Side) -> Question:
        first, second = [*(_hash(side.frames, side.frame, side.view) for side in sides), ""][:2]
        return Question(first, second, text, history, self.prompt.name, self.prompt.version, self.model, parameters)


def keep_first_turn(path: Path, inquiry: Inquiry, reply: str) -> FirstTurn:
    """Write what was asked once beside the labels, with its reply and the key under which the ledger has them."""
    asked = inquiry.question
    about = {"model": asked.model, "prompt": asked.prompt, "version": asked.version, "picture": asked.first, "ledger": asked.key}
    with held(path.with_name(f".{path.name}.lock"), f"writing {path}"):  # shards are annotated side by side
        remove_temporaries(path)
        write_json(path, about | {"question": asked.text, "reply": reply})
    return FirstTurn(inquiry.sides[0], asked.text, reply)


def reply_to(pair: Pair, answer: Answer) -> Reply:
    """A pair's reply: one that cannot be read is unknown, with its fault."""
    return Reply(pair.pair, pair.swapped, answer.reply, Label.UNKNOWN if answer.label is None else answer.label, fault=answer.fault)


@functools.lru_cache(maxsize=2**20)
def _hash(frames: Frames, frame: int, view: str | None) -> str:
    return picture_hash(Side(frames, frame, {}, view).image)
