"""Annotator that is any Hugging Face model that takes pictures and text, in this process: a folder or the hub."""

import time
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.ledger import Ledger, through_ledger
from sensei.annotators.prompts import load_prompt
from sensei.annotators.questions import OUTSIDE, Answer
from sensei.annotators.vlm.chat import FIRST_TURN_TOKENS, Chat, FirstTurn, Inquiry, keep_first_turn, reply_to
from sensei.core.devices import missing_gpu
from sensei.core.errors import SenseiError
from sensei.core.plugins import missing_packages
from sensei.core.rng import integer_seed
from sensei.preferences.pair import Label, Pair, Reply, Side
from sensei.study.models.annotators import PromptedConfig


class LocalVLM(Annotator):
    """Asks a model about pairs, many at once; a question that the ledger knows is not asked again."""

    class Options(PromptedConfig):
        """A Hugging Face model that takes pictures and text, in this process."""

        model: str = Field(description="folder, or id on the hub")
        revision: str | None = Field(None, description="branch, tag or commit on the hub; null: its newest")
        choice: Literal["logits", "text"] = Field(
            "logits", description="logits: the most probable of the prompt's answers, never unreadable; text: generate a reply and read it"
        )
        reply_tokens: int = Field(100, ge=1, description="choice text: most tokens of a reply (released code: 100)")
        temperature: float = Field(0.0, ge=0, le=2, description="choice text: 0 always takes the most probable token (paper: 0.2)")
        dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="auto: as the weights are stored")
        pairs_at_once: int = Field(8, ge=1, description="pairs in a batch")
        device: Literal["auto", "cpu", "cuda"] = "auto"

    shares_ledger = True

    @classmethod
    def missing(cls, options: Options, assignment: Assignment, state: Mapping[str, float] | None, online: bool) -> Iterator[SenseiError]:
        """Whether its package is there, the folder of the model if it is one, and a GPU if one is wanted."""
        yield from missing_packages(f"annotators of kind {options.kind}", "transformers")
        if options.model.startswith(("/", ".", "~")) and not Path(options.model).is_dir():
            yield SenseiError(f"there is no folder {options.model}", hint="correct `model` in the annotator's YAML")
        yield from missing_gpu(options.device)

    def __init__(self, options: Options, assignment: Assignment):
        from sensei.annotators.vlm.local_model import LocalModel

        super().__init__(options, assignment)
        self.prompt, self.ledger = load_prompt(assignment.prompt), Ledger(assignment.ledger)
        self.model = LocalModel(options.model, options.revision, options.dtype, options.device)
        self.choices = self.model.choices(self.prompt) if options.choice == "logits" else None
        chosen = options.model_dump(include={"choice", "reply_tokens", "temperature", "dtype"}) | {"weights": self.model.weights}
        self.chat = Chat(self.prompt, options.model, chosen, chosen)
        self.earlier: FirstTurn | None = None

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; with `choice` "logits" its text is the answer and the probability of each answer."""
        pairs = iter(pairs)
        while batch := list(islice(pairs, self.options.pairs_at_once)):
            if self.prompt.first_turn and self.earlier is None:
                self.earlier = self._first_turn(batch[0].first)
            inquiries = [self.chat.about(pair, self.earlier) for pair in batch]
            answers = through_ledger(self.ledger, [inquiry.question for inquiry in inquiries], partial(self._ask, batch, inquiries))
            for pair, answer in zip(batch, answers, strict=True):
                yield reply_to(pair, answer)

    def _ask(self, batch: list[Pair], inquiries: list[Inquiry], places: list[int]) -> list[Answer]:
        """Answers to the questions at `places` of a batch."""
        asked, begin = [inquiries[place] for place in places], time.monotonic()
        replies = self._write(asked, batch[places[0]].pair) if self.choices is None else self._choose(asked)
        seconds = (time.monotonic() - begin) / len(asked)
        return [Answer(text, label, OUTSIDE if label is None else None, seconds=seconds, server="local") for text, label in replies]

    def _choose(self, asked: list[Inquiry]) -> list[tuple[str, Label]]:
        """(answer with the probability of each, label) of the most probable answer to each question."""
        chances, answers = self.model.choose(asked, self.choices), list(self.choices.answers.values())
        texts = [answers[best] for best in chances.argmax(1)]
        return [
            (f"{text} {' '.join(f'{answer}:{p:.3f}' for answer, p in zip(answers, row, strict=True))}", self.prompt.answers[text])
            for text, row in zip(texts, chances, strict=True)
        ]

    def _write(self, asked: list[Inquiry], pair: int) -> list[tuple[str, Label | None]]:
        """(reply, its label or None if it cannot be read) to each question; sampling is seeded by the first pair's number."""
        seed = integer_seed(self.assignment.seed, "local_vlm", pair) % 2**32
        replies = self.model.generate(asked, self.options.reply_tokens, self.options.temperature, seed)
        return [(reply, self.prompt.read(reply)) for reply in replies]

    def _first_turn(self, side: Side) -> FirstTurn:
        """The prompt's first turn about the first frame of all, with the reply."""
        inquiry = self.chat.about_environment(Side(side.frames, 0, {}, side.view))

        def ask(_: list[int]) -> list[Answer]:
            [reply] = self.model.generate([inquiry], FIRST_TURN_TOKENS, self.options.temperature, 0)
            return [Answer(reply, None, server="local")]

        [answer] = through_ledger(self.ledger, [inquiry.question], ask)
        return keep_first_turn(self.assignment.files.first_turn, inquiry, answer.reply)
