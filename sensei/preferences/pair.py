"""The words of annotation: a pair, a reply, a label."""

from dataclasses import dataclass
from enum import IntEnum

import numpy as np

from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames

REPAIR = "delete the file and annotate again"


class Label(IntEnum):
    """An answer, in the coding of the published labels. "Not asked" is no label: such a pair has no reply."""

    FIRST = 0
    SECOND = 1
    TIE = 2
    UNKNOWN = 3

    @property
    def swapped(self) -> "Label":
        """The same answer if the two sides change places."""
        return {Label.FIRST: Label.SECOND, Label.SECOND: Label.FIRST}.get(self, self)

    @property
    def clear(self) -> bool:
        """Whether it prefers one side."""
        return self in (Label.FIRST, Label.SECOND)


def soft_label(labels: np.ndarray) -> np.ndarray:
    """Probability that the second side is preferred, float32 [N], of labels [N]: 0, 1, and 0.5 for a tie.

    An unknown answer has none; drop those pairs first.
    """
    labels = np.asarray(labels)
    assert np.isin(labels, (Label.FIRST, Label.SECOND, Label.TIE)).all(), "an unknown answer has no soft label"
    return np.array([0.0, 1.0, 0.5], np.float32)[labels]


def compare(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels, int64 [N], of the ranks of two sides, both [N]: of two states of rank 0 neither is interesting."""
    unequal = np.where(first > second, Label.FIRST, Label.SECOND)
    return np.where(first != second, unequal, np.where(first > 0, Label.TIE, Label.UNKNOWN))


@dataclass(frozen=True, slots=True)
class Side:
    """One of two game states: a frame in one view (None: the first there is), and what an oracle may look at besides."""

    frames: Frames
    frame: int
    state: dict[str, float]
    view: str | None = None

    @property
    def image(self) -> np.ndarray:
        """The annotator's picture, uint8 [h, w, 3]."""
        return (self.frames.image if self.view is None else self.frames.of(self.view))[self.frame]

    @property
    def flags(self) -> np.ndarray:
        """float32 [n]."""
        return self.frames.flags[self.frame]


@dataclass(frozen=True, slots=True)
class Pair:
    """A question: `first` and `second` in the order shown, which is the reverse of the stored one if `swapped`."""

    pair: int
    swapped: bool
    first: Side
    second: Side


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back for one pair.

    text: the raw reply. answer: the label in the order shown; None, with `error` set, if there was no reply to read (a failed request
    is not an answer). fault: why the answer is unknown, if the reply was none of those asked for. view: in which the
    pair was shown; None: the first there is.
    """

    pair: int
    swapped: bool
    text: str
    answer: Label | None
    error: str | None = None
    fault: str | None = None
    view: str | None = None

    @property
    def label(self) -> Label | None:
        """The answer in the pair's own order."""
        return self.answer.swapped if self.swapped and self.answer is not None else self.answer

    def record(self) -> dict[str, object]:
        """As one line of a shard."""
        return {
            "pair": self.pair,
            "swapped": self.swapped,
            "text": self.text,
            "answer": None if self.answer is None else self.answer.name,
            "error": self.error,
            "fault": self.fault,
            "view": self.view,
        }

    @classmethod
    def of(cls, record: object, where: str) -> "Reply":
        """Read a line of a shard back.

        Raises:
            SenseiError: it is not such a record; the message says `where`.
        """
        try:
            answer = None if record["answer"] is None else Label[record["answer"]]
            reply = cls(record["pair"], record["swapped"], record["text"], answer, record["error"], record.get("fault"), record.get("view"))
        except (TypeError, KeyError) as error:
            raise SenseiError(f"{where} is damaged", found=f"no valid {error}", expected="a reply", hint=REPAIR) from error
        whole = isinstance(reply.pair, int) and isinstance(reply.swapped, bool) and isinstance(reply.text, str)
        if not whole or (reply.answer is None) != isinstance(reply.error, str):
            raise SenseiError(f"{where} is damaged", found=record, expected="a reply", hint=REPAIR)
        return reply
