"""An annotator that reads the game state instead of the picture."""

from collections.abc import Iterable, Iterator, Mapping

from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.core.errors import SenseiError
from sensei.envs.registry import family
from sensei.preferences.pair import Label, Pair, Reply, compare
from sensei.study.models.annotators import AnnotatorOptions


class Oracle(Annotator):
    """Prefers the state that the environment's class ranks higher."""

    class Options(AnnotatorOptions):
        """Reads the game state."""

        nearer: bool = Field(
            False,
            description="of two equally interesting states prefer the one nearer to something of interest, where the environment can say"
            " (paper: neither)",
        )

    def __init__(self, options: Options, assignment: Assignment):
        super().__init__(options, assignment)
        self._family = family(assignment.environment)

    @classmethod
    def missing(cls, options: Options, assignment: Assignment, state: Mapping[str, float] | None, online: bool) -> Iterator[SenseiError]:
        """Whether the environment can rank its states."""
        kind = family(assignment.environment)
        if state is not None and not kind.can_rank(state):
            found = f"{len(state)} states ({', '.join(state)})" if state else "no state"
            what = f"an oracle cannot rank the states of {assignment.environment.level}"
            yield SenseiError(what, found=found, expected=f"`can_rank` and `ranks` of {kind.__name__}", hint="choose another annotator")

    def answer(self, pair: Pair) -> Label:
        """What it says of the two sides as shown."""
        first, second = (self._family.ranks(side.state, nearer=self.options.nearer) for side in (pair.first, pair.second))
        return Label(int(compare(first, second)))

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            answer = self.answer(pair)
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
