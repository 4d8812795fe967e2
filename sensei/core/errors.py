"""The one exception that a user, a file, a machine or a model reply can cause."""

import contextlib
from collections.abc import Callable, Iterator

EXIT_STATUS = 2  # of a command that ends with one
LONGEST_VALUE = 80  # letters of a value that a message quotes
LONGEST_TEXT = 900  # letters of what a message says was found or expected
LONGEST_LINE = 1000


class SenseiError(Exception):
    """A mistake that the reader of the message can mend: what is wrong, what was found, what was expected, what to do.

    Printed in one to five lines and never with a traceback by the command line and the workflow.
    """

    def __init__(self, what: str, *, found: object = None, expected: object = None, hint: str | None = None):
        self.what, self.found, self.expected, self.hint = what, found, expected, hint
        lines = [what]
        if found is not None or expected is not None:
            parts = [f"found {shortened(found)}"] if found is not None else []
            parts += [f"expected {shortened(expected)}"] if expected is not None else []
            lines[0] += ": " + ", ".join(parts)
        if hint:
            lines.append(f"-> {hint}")
        super().__init__("\n".join(_cut(line, LONGEST_LINE) for line in "\n".join(lines).splitlines()))

    def __reduce__(self):
        return _rebuild, (type(self), self.what, self.found, self.expected, self.hint)


class MachineError(SenseiError):
    """What this machine lacks, and another may have: a package, a card, a way to draw, room on a disk."""


@contextlib.contextmanager
def about(source: str) -> Iterator[None]:
    """Let an error of the block begin with the file that it is about."""
    try:
        yield
    except SenseiError as error:
        raise type(error)(f"{source}: {error.what}", found=error.found, expected=error.expected, hint=error.hint) from error


def mistakes(function: Callable[..., object], *arguments: object, **options: object) -> list[SenseiError]:
    """The error that a call ends with, in a list that is empty if it ends well: for checks that find all there is to find."""
    try:
        function(*arguments, **options)
    except SenseiError as error:
        return [error]
    return []


def quoted(value: object) -> str:
    """A value as messages show it: in one line, cut at 80 letters."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__} that does not say what it is"
    return shortened(text, LONGEST_VALUE)


def shortened(text: object, longest: int = LONGEST_TEXT) -> str:
    """A text in one line, cut at `longest` letters; nothing, of an object of somebody's that raises when it is asked for it."""
    try:
        words = str(text).split()
    except Exception:
        words = []
    return _cut(" ".join(words), longest)


def _cut(line: str, longest: int) -> str:
    return line if len(line) <= longest else f"{line[: longest - 4]} ..."


def _rebuild(kind: type[SenseiError], what: str, found: object, expected: object, hint: str | None) -> SenseiError:
    return kind(what, found=found, expected=expected, hint=hint)
