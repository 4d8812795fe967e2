"""A person, who answers on the page that `python -m sensei label-page` opens."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.journal import read_journal
from sensei.annotators.prompts import Prompt, load_prompt
from sensei.annotators.questions import Question, picture_hash
from sensei.core.errors import SenseiError, mistakes
from sensei.preferences.pair import Pair, Reply
from sensei.study.layout import LabelFiles, Layout
from sensei.study.models.annotators import PromptedConfig

SECONDS = 5  # that a person takes for a question, for estimates


class Person(Annotator):
    """Answers with what its journal has; questions that nobody has answered yet are an error, never a guess.

    It is asked what models are asked: the environment's prompt, with what the pictures do not show.
    """

    asks_server = True  # the journal lies where the workflow was started

    class Options(PromptedConfig):
        """Somebody in front of a browser."""

        max_unreadable: ClassVar[None] = None  # all that the page takes can be read
        number: int | None = Field(None, ge=1, description="how many pairs to ask about, the first ones (their order is drawn); null: all")

    def __init__(self, options: Options, assignment: Assignment):
        super().__init__(options, assignment)
        self._prompt, self._journal = load_prompt(assignment.prompt), assignment.files.journal

    @classmethod
    def sources(cls, options: Options, files: LabelFiles) -> list[Path]:
        """The journal, once there is one: a correction makes the labels anew."""
        return [files.journal] if files.journal.exists() else []

    @classmethod
    def asked(cls, options: Options, pairs: int) -> int:
        """`number` of them."""
        return min(pairs, options.number or pairs)

    @classmethod
    def missing(cls, options: Options, assignment: Assignment, state: Mapping[str, float] | None, online: bool) -> Iterator[SenseiError]:
        """Whether the journal can be read; that answers are missing stops nothing else of the study."""
        yield from mistakes(read_journal, assignment.files.journal)

    @classmethod
    def estimate(cls, options: Options, assignment: Assignment, pairs: Iterable[Pair]) -> list[str]:
        """Questions, those answered, and the time that the rest takes."""
        asked, answered = sum(is_asked(options, pair) for pair in pairs), len(read_journal(assignment.files.journal))
        left = max(asked - answered, 0)
        return [f"a person answers {asked} questions, {answered} are answered; the rest takes about {left * SECONDS / 60:.0f} minutes"]

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair.

        Raises:
            SenseiError: some that are asked about have no answer yet; before any reply, and the message says how to give them.
        """
        asked = [(pair, question(self._prompt, pair).key if is_asked(self.options, pair) else None) for pair in pairs]
        answers = read_journal(self._journal)
        if left := [key for _, key in asked if key is not None and key not in answers]:
            raise self._unanswered(len(left), sum(key is not None for _, key in asked))
        for pair, key in asked:
            if key is None:
                yield Reply(pair.pair, pair.swapped, "", None, f"not asked: `number` is {self.options.number}")
            else:
                answer = answers[key].answer
                yield Reply(pair.pair, pair.swapped, answer.name, answer)

    def _unanswered(self, left: int, of: int) -> SenseiError:
        files = self.assignment.files
        environment, annotator, generation = files.asked
        names = f"--environment {environment} --annotator {annotator}" + (f" --generation {generation}" if generation != "1" else "")
        command = f"python -m sensei label-page --study {Layout(files.folder.parents[2]).study} {names}"
        what = f"{annotator} has not answered {left} of the {of} questions of this shard about {environment}"
        return SenseiError(what, hint=f"answer them, then run again: {command}")


def is_asked(options: Person.Options, pair: Pair) -> bool:
    """Whether the person is asked about a pair at all."""
    return options.number is None or pair.pair < options.number


def question(prompt: Prompt, pair: Pair) -> Question:
    """What a person is asked about a pair, as its journal knows it."""
    first, second = (picture_hash(side.image) for side in (pair.first, pair.second))
    history = (prompt.first_turn,) if prompt.first_turn else ()
    return Question(first, second, prompt.question(pair), history, prompt.name, prompt.version, "person", ())
