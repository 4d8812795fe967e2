"""An oracle with planted faults."""

from collections.abc import Iterable, Iterator

from sensei.annotators.oracle.oracle import Oracle
from sensei.core.rng import generator
from sensei.preferences.pair import Label, Pair, Reply
from sensei.study.models.environment import EnvironmentConfig


class NoisyOracle(Oracle):
    """An oracle with a stated error rate and a stated order bias.

    A clear answer is turned round with probability 1 - accuracy; then any answer is replaced by "the first one shown" with probability
    `first_bias`. The draws belong to the pair's number, so that neither the split into shards nor an interruption changes them.
    """

    def __init__(self, environment: EnvironmentConfig, accuracy: float, first_bias: float, seed: int, nearer: bool = False):
        super().__init__(environment, nearer)
        self.accuracy, self.first_bias, self.seed = accuracy, first_bias, seed

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            right, unbiased = generator(self.seed, "noisy_oracle", pair.pair).random(2) < (self.accuracy, 1 - self.first_bias)
            answer = self.answer(pair)
            answer = answer if right else answer.swapped
            answer = answer if unbiased else Label.FIRST
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
