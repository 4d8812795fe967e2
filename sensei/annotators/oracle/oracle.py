"""Annotators that read the game state instead of the picture.

Which state is more interesting is a matter of rank, which the environment's family gives (`Environment.ranks`). Equal ranks are a tie, and
two states of rank 0 have nothing of interest: unknown (codes 2 and 3).
"""

from collections.abc import Iterable, Iterator

import numpy as np

from sensei.envs.registry import family
from sensei.preferences.pair import Label, Pair, Reply
from sensei.study.models.environment import EnvironmentConfig


def compare(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Labels, int64 [N], of two arrays of ranks [N]."""
    unequal = np.where(first > second, Label.FIRST, Label.SECOND)
    return np.where(first != second, unequal, np.where(first > 0, Label.TIE, Label.UNKNOWN))


class Oracle:
    """Prefers the state of higher rank."""

    def __init__(self, environment: EnvironmentConfig, nearer: bool = False):
        self.ranks, self.nearer = family(environment).ranks, nearer

    def answer(self, pair: Pair) -> Label:
        """What it says of the two sides as shown."""
        return Label(int(compare(self.ranks(pair.first.state, self.nearer), self.ranks(pair.second.state, self.nearer))))

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        for pair in pairs:
            answer = self.answer(pair)
            yield Reply(pair.pair, pair.swapped, answer.name, answer)
