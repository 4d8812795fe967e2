"""Preferences by descriptions: both pictures are compared with those of the prompt file, without a question in words."""

from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np

from sensei.annotators.clip.model import Clip
from sensei.annotators.prompts import PLACE, Prompt
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Label, Pair, Reply, Side

PAIRS_AT_ONCE = 1024


class Descriptions:
    """Prefers the picture that the prompt's more interesting descriptions fit.

    `positive` of the prompt file lists descriptions, the most interesting first; the place of the inventory sentence among them is
    marked with {inventory}, since what the player carries is told to language models too and is not in the picture. The score of a
    picture is the expected rank of its most interesting true description, from 1 (the first) to 0 (none), each true with the
    probability that the picture fits it rather than the `negative` descriptions.

    Args:
        clip: the model.
        prompt: its `positive` and `negative` descriptions, and the state behind its inventory sentence.
        margin: two pictures whose scores differ by no more are a tie; if neither is above it, nothing of interest is in either: unknown.

    Raises:
        SenseiError: the prompt has no descriptions.
    """

    def __init__(self, clip: Clip, prompt: Prompt, margin: float):
        if not prompt.positive or not prompt.negative:
            raise SenseiError(
                f"prompt {prompt.name} has no descriptions to compare pictures with",
                expected="`positive` and `negative` in its header",
                hint="add them, or choose another prompt with the annotator's `prompt`",
            )
        self.clip, self.prompt, self.margin = clip, prompt, margin
        self._seen = [text for text in prompt.positive if text != PLACE]
        self._descriptions = clip.encode_texts([*self._seen, *prompt.negative])
        self._known: dict[tuple[str | None, int], np.ndarray] = {}

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; its text holds both scores."""
        pairs = iter(pairs)
        while part := list(islice(pairs, PAIRS_AT_ONCE)):
            self._look_at([side for pair in part for side in (pair.first, pair.second)])
            for pair in part:
                first, second = self.score(pair.first), self.score(pair.second)
                answer = self.prefer(first, second)
                yield Reply(pair.pair, pair.swapped, f"{answer.name} {first:.4f} {second:.4f}", answer)

    def prefer(self, first: float, second: float) -> Label:
        """The label of two scores."""
        if abs(first - second) > self.margin:
            return Label.FIRST if first > second else Label.SECOND
        return Label.TIE if max(first, second) > self.margin else Label.UNKNOWN

    def score(self, side: Side) -> float:
        """Expected rank of the most interesting true description of a side that was looked at, in [0, 1]."""
        fits = iter(self._known[side.view, side.frame])
        held = PLACE in self.prompt.positive and self.prompt.carries(side)
        chances = [float(held) if text == PLACE else next(fits) for text in self.prompt.positive]
        return expected_rank(np.array(chances))

    def _look_at(self, sides: list[Side]) -> None:
        """Compare pictures that were not seen before with the descriptions."""
        new = {(side.view, side.frame): side for side in sides if (side.view, side.frame) not in self._known}
        if new:
            logits = self.clip.logits(self.clip.encode_pictures(side.image for side in new.values()), self._descriptions)
            count = len(self._seen)
            self._known |= dict(zip(new, fit(logits[:, :count], logits[:, count:], self.clip.absolute), strict=True))


def fit(positive: np.ndarray, negative: np.ndarray, absolute: bool) -> np.ndarray:
    """Probability that each description fits rather than the negative ones, float64 [P, n].

    Args:
        positive: logits [P, n].
        negative: logits [P, m], of which the mean of the exponentials counts, so that their number does not matter.
        absolute: whether logits have a zero, which then stands for "neither fits".
    """
    others = np.logaddexp.reduce(negative, axis=1, keepdims=True) - np.log(negative.shape[1])
    if absolute:
        others = np.logaddexp(others, 0)
    return 0.5 * (1 + np.tanh((positive - others) / 2))  # the sigmoid, which does not overflow in this form


def expected_rank(chances: np.ndarray) -> float:
    """Expected rank of the first of n independent events that happens, (n - i) / n for event i and 0 if none does.

    Args:
        chances: probability of each event, [n].
    """
    ranks = 1 - np.arange(len(chances)) / len(chances)
    none_before = np.cumprod(np.concatenate([[1.0], 1 - chances[:-1]]))
    return float((ranks * chances * none_before).sum())
