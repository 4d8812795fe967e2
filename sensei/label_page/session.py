"""What a person is asked about one environment of a study, in which order, and what became of it."""

import contextlib
import io
import threading
from collections import defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
from PIL import Image

from sensei.annotators.estimate import drawn
from sensei.annotators.journal import Entry, Journal, open_journal, read_journal
from sensei.annotators.person import Person, is_asked, question
from sensei.annotators.prompts import PLACE, Prompt, load_prompt
from sensei.core.errors import SenseiError
from sensei.core.files import atomic
from sensei.core.rng import generator
from sensei.core.verification import verified
from sensei.preferences.labels import agreed
from sensei.preferences.pair import Label, Pair, Reply
from sensei.study.layout import Layout
from sensei.study.models.annotators import annotator_class
from sensei.study.models.study import Study
from sensei.study.stage import Job, check_names

LONGEST = 86_400.0  # seconds that an answer can have taken


class Refused(SenseiError):
    """An answer that is not taken: the question has one already, or has none that could be corrected."""


class Questions:
    """What a person is asked, as stage `annotate` asks it: each question with the key under which the journal has its answer.

    Attributes:
        asked: key -> pair in the order of the stage; questions with equal pictures and words are one.
        shown: the keys in the order of the page, drawn, so that a pair that comes again in the other order comes at another time.
    """

    def __init__(self, study: Study, files: Layout, environment: str, annotator: str, generation: int):
        """Raises SenseiError if this annotator is no person, or there are no pairs, or they are damaged."""
        self.study, self.environment, self.annotator = study, environment, annotator
        options, parts = study.annotator_settings[annotator], study.settings_of(environment, generation)
        made = files.pairs(environment, generation)
        if not made.pairs.exists() or not made.frames.exists():
            raise SenseiError(f"there are no pairs of {environment} yet", hint=f"`snakemake {made.pairs}` draws them, after its collection")
        for path in (made.pairs, made.frames):
            verified(path)
        labels = files.labels(environment, annotator, generation)
        self.journal_path, self.key_path = labels.journal, labels.page_key
        self.prompt: Prompt = load_prompt(study.prompt_of(annotator, environment))
        self._order = parts.labels.order
        pairs = [pair for pair in drawn(parts, made.pairs, made.frames) if is_asked(options, pair)]
        self._keys = [question(self.prompt, pair).key for pair in pairs]
        self._pairs = pairs
        self.asked: dict[str, Pair] = dict(zip(reversed(self._keys), reversed(pairs), strict=True))
        keys = list(dict.fromkeys(self._keys))
        self.shown = [keys[place] for place in generator(parts.pairs.seeds[0], "order of questions").permutation(len(keys))]

    def labels(self, answers: dict[str, Entry]) -> pd.DataFrame:
        """Pair -> label in the pair's own order, for all pairs whose every question is answered: what `kind: replayed` reads."""
        replies, waiting = defaultdict(list), set()
        for key, pair in zip(self._keys, self._pairs, strict=True):
            if key in answers:
                replies[pair.pair].append(Reply(pair.pair, pair.swapped, "", answers[key].answer, view=pair.first.view))
            else:
                waiting.add(pair.pair)
        rows = [(pair, int(agreed(own, self._order))) for pair, own in sorted(replies.items()) if pair not in waiting]
        return pd.DataFrame(rows, columns=["pair", "label"])

    def export(self, output: Path) -> int:
        """Write `labels` as CSV; how many there are."""
        table = self.labels(read_journal(self.journal_path))
        with atomic(output) as temporary:
            table.to_csv(temporary, index=False)
        return len(table)


class Session:
    """Questions with an open journal; every method may be called from several threads."""

    def __init__(self, questions: Questions, journal: Journal):
        self.questions, self._journal, self._lock = questions, journal, threading.Lock()
        self._next = 0

    def state(self) -> dict[str, object]:
        """What the page shows all the time, and which question comes next; None if all are answered."""
        asked, answers = self.questions, self._journal.answers
        with self._lock:
            while self._next < len(asked.shown) and asked.shown[self._next] in answers:
                self._next += 1
            answered = sum(key in answers for key in asked.shown)
        return {
            "study": asked.study.study,
            "environment": asked.study.settings[asked.environment].environment.title,
            "annotator": asked.annotator,
            "questions": len(asked.shown),
            "answered": answered,
            "next": self._next if self._next < len(asked.shown) else None,
            "answers": [label.name for label in Label if label in asked.prompt.answers.values()],
            "introduction": asked.prompt.first_turn or "",
        }

    def question(self, number: int) -> dict[str, object]:
        """What the page shows of one question besides its pictures; nothing tells whether the pair was asked before in the other order."""
        pair, answer = self._pair(number), self._journal.answers.get(self.questions.shown[number])
        words, prompt = self.questions.prompt.question(pair), self.questions.prompt
        before, _, after = prompt.pair_turn.partition(PLACE)
        unseen = words[len(before) : len(words) - len(after)] if prompt.inventory else ""
        return {"number": number, "words": words, "unseen": unseen, "answer": answer and answer.answer.name}

    def picture(self, number: int, side: str) -> bytes:
        """One of its pictures, `first` or `second` as shown, as PNG."""
        pair, file = self._pair(number), io.BytesIO()
        Image.fromarray({"first": pair.first, "second": pair.second}[side].image).save(file, "png")
        return file.getvalue()

    def answer(self, number: int, answer: str, seconds: float, corrects: bool) -> None:
        """Take an answer; it is on the disk when this returns.

        Raises:
            Refused: there is one already, unless it is to be corrected.
            SenseiError: it is none of those that the prompt allows.
        """
        pair, key = self._pair(number), self.questions.shown[number]
        if answer not in (label.name for label in self.questions.prompt.answers.values()):
            raise SenseiError(f"{answer!r} is no answer to this question")
        if not (isinstance(seconds, int | float) and 0 <= seconds <= LONGEST and isinstance(corrects, bool)):
            raise SenseiError("an answer needs `seconds`, a number of at most a day, and `corrects`, true or false")
        with self._lock:
            if (key in self._journal.answers) != corrects:
                raise Refused(
                    f"question {number} has no answer to be corrected" if corrects else f"question {number} has an answer already",
                    hint=None if corrects else "go back to it to correct it",
                )
            at = datetime.now(UTC).isoformat(timespec="seconds")
            entry = Entry(key, pair.pair, pair.swapped, pair.first.view, Label[answer], round(float(seconds), 2), corrects, at)
            self._journal.add(entry)

    def labels(self) -> pd.DataFrame:
        """Those of `Questions.labels`, so far."""
        with self._lock:
            return self.questions.labels(self._journal.answers)

    def _pair(self, number: int) -> Pair:
        if not 0 <= number < len(self.questions.shown):
            raise SenseiError(f"there is no question {number}", expected=f"0 to {len(self.questions.shown) - 1}")
        return self.questions.asked[self.questions.shown[number]]


@contextlib.contextmanager
def opened(questions: Questions) -> Iterator[Session]:
    """A session that takes answers; one at a time may."""
    with open_journal(questions.journal_path) as journal:
        yield Session(questions, journal)


def find(study: Study, study_path: Path, environment: str | None, annotator: str | None, generation: int) -> Questions:
    """The questions of a person; what is not named must be the only one there is.

    Raises:
        SenseiError: there are none or several, or as `Questions`.
    """
    given = {"environment": environment, "annotator": annotator, "generation": generation}
    check_names(study, study_path, Job.of({axis: value for axis, value in given.items() if value is not None and axis != "generation"}))
    people = [
        (of, name, number)
        for of, name, number in study.label_sets()
        if issubclass(annotator_class(study.annotator_settings[name].kind), Person)
        and (environment in (None, of) and annotator in (None, name) and number == generation)
    ]
    if not people:
        hint = "add `person`, or an annotator of kind `person` with a name of its own, to `annotators`, and run snakemake"
        raise SenseiError(
            f"nobody of these is a person in {study_path}", found=_told(given), expected="an annotator of kind person", hint=hint
        )
    if len(people) > 1:
        known = "; ".join(f"--environment {of} --annotator {name}" for of, name, _ in people)
        raise SenseiError(f"there are several sets of questions in {study_path}: say which", expected=f"one of {known}")
    return Questions(study, Layout.of(study_path), *people[0])


def _told(given: dict[str, object]) -> str:
    return ", ".join(f"{axis} {value}" for axis, value in given.items() if value is not None)
