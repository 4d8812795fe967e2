"""What a person answered: a file to which every answer is added as a line and of which nothing is ever taken away."""

import contextlib
import errno
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from sensei.core.errors import SenseiError
from sensei.core.files import flush_folder, writing
from sensei.core.locks import held
from sensei.preferences.pair import Label


@dataclass(frozen=True, slots=True)
class Entry:
    """One answer.

    question: `Question.key`, so that an answer stays true whatever becomes of the files. pair, swapped, view: where it was asked, for
    readers. answer: in the order shown. seconds: from seeing both pictures to answering. corrects: whether an earlier answer to the same
    question no longer counts. at: time, ISO 8601.
    """

    question: str
    pair: int
    swapped: bool
    view: str | None
    answer: Label
    seconds: float
    corrects: bool
    at: str

    def line(self) -> bytes:
        """As it stands in the file."""
        return (json.dumps(asdict(self) | {"answer": self.answer.name}) + "\n").encode()

    @classmethod
    def of(cls, line: bytes) -> "Entry":
        """Read a line back.

        Raises:
            ValueError, TypeError, KeyError, RecursionError: it is none.
        """
        record = json.loads(line)
        return cls(**record | {"answer": Label[record["answer"]]})


def read_journal(path: Path) -> dict[str, Entry]:
    """Question -> the answer that counts, the last one; empty if there is no file. A last line without an end is still being written.

    Raises:
        SenseiError: a line is damaged; the message names it.
    """
    answers: dict[str, Entry] = {}
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True) if path.exists() else [], 1):
        if not line.endswith(b"\n"):
            break
        try:
            entry = Entry.of(line)
        except (ValueError, TypeError, KeyError, RecursionError) as error:
            hint = "mend or remove this line: the question is asked again"
            raise SenseiError(f"{path}, line {number}, is damaged", found=error, expected="an answer", hint=hint) from error
        answers[entry.question] = entry
    return answers


class Journal:
    """A journal that is open to be added to.

    Attributes:
        answers: as `read_journal`.
    """

    def __init__(self, path: Path, file: BinaryIO):
        self.path, self._file, self.answers = path, file, read_journal(path)

    def add(self, entry: Entry) -> None:
        """Add an answer; it is on the disk when this returns, and nothing of it is if this raises.

        Raises:
            OSError: the disk is full or refuses.
            SenseiError: the file has been moved or replaced since it was opened, so that nobody would find the answer.
        """
        line, opened = entry.line(), os.fstat(self._file.fileno())
        if not self.path.exists() or not os.path.samestat(opened, self.path.stat()):
            raise SenseiError(f"{self.path} is no longer the file that this page opened", hint="put it back, and start the page again")
        end = opened.st_size
        with writing(self.path):
            try:
                if self._file.write(line) < len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(end)
                raise
        self.answers[entry.question] = entry


@contextlib.contextmanager
def open_journal(path: Path) -> Iterator[Journal]:
    """Open a journal for one process at a time; half a line, which a power cut can leave, is cut off.

    Raises:
        SenseiError: another process has it open, or a line is damaged.
    """
    with held(path.with_name(f".{path.name}.lock"), f"labelling into {path}"), open(path, "ab", buffering=0) as file:
        content = path.read_bytes()
        file.truncate(content.rfind(b"\n") + 1)
        flush_folder(path.parent)
        yield Journal(path, file)
