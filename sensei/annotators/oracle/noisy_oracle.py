"""An oracle with planted faults."""

from collections.abc import Iterable, Iterator

from pydantic import Field

from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.oracle.oracle import Oracle
from sensei.core.rng import generator
from sensei.preferences.pair import Label, Pair, Reply


class NoisyOracle(Annotator):
    """An oracle with a stated error rate and a stated order bias.

    A clear answer is turned round with probability 1 - accuracy; then any answer is replaced by "the first one shown" with probability
    `first_bias`. The draws belong to the pair's number, so that neither the split into shards nor an interruption changes them.
    """

    class Options(Oracle.Options):
        """An oracle with planted faults."""

        accuracy: float = Field(1.0, ge=0, le=1, description="share of clear pairs answered correctly")
        first_bias: float = Field(0.0, ge=0, le=1, description="share of answers replaced by `first image`")

    def __init__(self, options: Options, assignment: Assignment):
        super().__init__(options, assignment)
        self._oracle = Oracle(options, assignment)

    missing = Oracle.missing

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        trusted, fair = self.options.accuracy, 1 - self.options.first_bias
        for pair in pairs:
            right, unbiased = generator(self.assignment.seed, "noisy_oracle", pair.pair).random(2) < (trusted, fair)
            answer = self._oracle.answer(pair)
            answer = answer if right else answer.swapped
            answer = answer if unbiased else Label.FIRST
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
