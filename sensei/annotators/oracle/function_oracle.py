"""An oracle that is a function in the user's own file."""

import math
import numbers
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.core.apart import Apart
from sensei.core.errors import SenseiError, mistakes, quoted
from sensei.core.plugins import find_function, source_of_function
from sensei.preferences.pair import Label, Pair, Reply, compare
from sensei.study.layout import LabelFiles
from sensei.study.models.annotators import AnnotatorOptions

PATIENCE = 20.0  # seconds for one state, before the first job


class FunctionOracle(Annotator):
    """Prefers the state to which a function gives the larger number; of two of 0 neither is interesting."""

    class Options(AnnotatorOptions):
        """A function of the game state."""

        function: str = Field(
            description="NAME.py:function or package.module:function; of a state, key -> number, it says how interesting that is"
        )

    def __init__(self, options: Options, assignment: Assignment):
        super().__init__(options, assignment)
        self._function = find_function(options.function)

    @classmethod
    def sources(cls, options: Options, files: LabelFiles) -> list[Path]:
        """The file with the function."""
        return [source_of_function(options.function)]

    @classmethod
    def missing(cls, options: Options, assignment: Assignment, state: Mapping[str, float] | None, online: bool) -> Iterator[SenseiError]:
        """Whether there is such a function, and it gives a number to a state of the environment."""
        if faults := mistakes(find_function, options.function):
            yield from faults
        elif state is not None and not state:
            what = f"{assignment.environment.level} shows an oracle no state"
            expected = "numbers in `info` or in `info['state']`, or observations that are a vector"
            yield SenseiError(what, expected=expected, hint="choose another annotator")
        elif state is not None:
            oracle, apart = cls(options, assignment), Apart(PATIENCE)
            try:
                apart(lambda: oracle.rank(dict(state)))
            except SenseiError as error:
                yield error
            except TimeoutError as error:
                yield SenseiError(f"function {options.function} hangs", found=error, hint="mend it: it is asked about every picture")

    def rank(self, state: dict[str, float]) -> float:
        """What the function says of a state.

        Raises:
            SenseiError: it raises, or gives no number.
        """
        try:
            rank = self._function(dict(state))
        except (Exception, SystemExit) as error:
            what = f"function {self.options.function} raises {type(error).__name__}"
            raise SenseiError(what, found=error, hint=f"a state has {', '.join(state) or 'no keys'}") from error
        try:
            number = float(rank) if isinstance(rank, numbers.Real) else math.nan
        except OverflowError:
            number = math.nan
        if math.isnan(number):
            raise SenseiError(f"function {self.options.function} gives no number", found=quoted(rank), expected="an int or a float")
        return number

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            first, second = self.rank(pair.first.state), self.rank(pair.second.state)
            answer = Label.TIE if first == second != 0 else Label(int(compare(first, second)))
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
