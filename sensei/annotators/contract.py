"""What an annotator is."""

from collections.abc import Iterable, Iterator
from typing import Protocol

from sensei.preferences.pair import Pair, Reply


class Annotator(Protocol):
    """Answers questions in the order asked; stateless, so that an interrupted shard may be taken up anywhere."""

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        ...
