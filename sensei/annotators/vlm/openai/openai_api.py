"""Annotator behind any server that speaks the OpenAI API: many questions in flight, none paid twice."""

from collections.abc import Iterable, Iterator, Mapping

from sensei.annotators.contract import Annotator, Assignment, Expense
from sensei.annotators.ledger import Ledger
from sensei.annotators.prompts import load_prompt
from sensei.annotators.vlm.openai.estimate import estimate
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.core.errors import SenseiError, mistakes
from sensei.preferences.pair import Pair, Reply


class OpenAIAnnotator(Annotator):
    """Asks a chat model about pairs; see `sensei.annotators.vlm.openai.asking`."""

    Options = OpenAIOptions
    asks_server = shares_ledger = True

    def __init__(self, options: OpenAIOptions, assignment: Assignment):
        from sensei.annotators.vlm.openai.asking import Asking

        super().__init__(options, assignment)
        self.asking = Asking(options, load_prompt(assignment.prompt), Ledger(assignment.ledger), assignment.files.first_turn)

    @classmethod
    def missing(
        cls, options: OpenAIOptions, assignment: Assignment, state: Mapping[str, float] | None, online: bool
    ) -> Iterator[SenseiError]:
        """Whether the key is set and, if servers may be asked, the server answers and offers the model."""
        from sensei.annotators.vlm.openai.reachable import check_server

        yield from mistakes(check_server, options, online)

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair, in their order."""
        return self.asking.replies(pairs)

    @classmethod
    def estimate(cls, options: OpenAIOptions, assignment: Assignment, pairs: Iterable[Pair]) -> list[str]:
        """Pairs, tokens, price and time of what the ledger does not know."""
        return estimate(options, load_prompt(assignment.prompt), assignment.ledger, pairs).lines(options)

    @classmethod
    def expense(cls, options: OpenAIOptions, assignment: Assignment, pairs: Iterable[Pair]) -> Expense | None:
        """What the ledger does not know, beside what all questions to the model may cost; None for a model without a price."""
        if not (options.prices.input_per_million or options.prices.output_per_million):
            return None
        expected = estimate(options, load_prompt(assignment.prompt), assignment.ledger, pairs).usd
        spent = Ledger(assignment.ledger).spent(options.model) if assignment.ledger.exists() else 0.0
        return Expense(options.model, expected, spent, options.max_usd)
