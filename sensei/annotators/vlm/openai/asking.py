"""A shard's questions to a server that speaks the OpenAI API: each asked once and paid once (see `sensei.annotators.ledger`)."""

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path

from sensei.annotators.ledger import Ledger, OverBudget
from sensei.annotators.prompts import Prompt
from sensei.annotators.vlm.chat import FirstTurn, keep_first_turn, reply_to
from sensei.annotators.vlm.openai.batch import Batches
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.failures import Failed, Rejected, remedy
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.one_by_one import OneByOne
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.annotators.vlm.openai.server import Server
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Pair, Reply, Side


class Asking:
    """Asks a chat model about pairs; replies come in the order of the pairs, from the ledger if they are there.

    A question that fails for good is a reply with `error`; at the end, the failed ones are raised together.

    Args:
        options: of the annotator.
        prompt: what is asked.
        ledger: of all questions and answers.
        first_turn: where the first turn of a prompt of two turns is kept.
    """

    def __init__(self, options: OpenAIOptions, prompt: Prompt, ledger: Ledger, first_turn: Path):
        self.options, self.chat, self.ledger, self._kept = options, Completions(options, prompt), ledger, first_turn

    def replies(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair.

        Raises:
            SenseiError: the server cannot be used (`Server`), the budget is reached, or questions failed. All answers until then are in
                the ledger.
        """
        self.server, pairs = Server(self.options, self.ledger), iter(pairs)
        asked, failed = 0, []
        for first in pairs:  # all of them at once: the first turn needs a pair to find the first picture of all by
            with Runner() as runner:
                means = self.chat, self.ledger, self.server, runner
                one_by_one = OneByOne(*means)
                way = Batches(*means) if self.options.requests.batch else one_by_one
                try:
                    earlier = self._first_turn(first, one_by_one)
                    inquiries = ((pair, self.chat.about(pair, earlier)) for pair in itertools.chain([first], pairs))
                    for pair, answer in way.answers(inquiries):
                        asked += 1
                        if isinstance(answer, Failed):
                            failed += [] if isinstance(answer, Rejected) else [answer]
                            yield Reply(pair.pair, pair.swapped, "", None, str(answer))
                        else:
                            yield reply_to(pair, answer)
                except OverBudget:
                    raise self._over_budget() from None
                finally:
                    one_by_one.close()
                    runner.run(self.server.close())
        if failed:
            advice = remedy(str(failed[-1]))
            raise SenseiError(
                f"{len(failed)} of {asked} questions to {self.options.model} at {self.server.host} failed",
                found=failed[-1],
                hint=f"{f'{advice}; ' if advice else ''}run again: it asks these alone, all other answers are kept",
            )

    def _first_turn(self, pair: Pair, way: OneByOne) -> FirstTurn | None:
        """The prompt's first turn with its reply; None for a prompt of one turn."""
        if self.chat.prompt.first_turn is None:
            return None
        inquiry = self.chat.about_environment(Side(pair.first.frames, 0, {}))
        [(_, answer)] = way.answers([(pair, inquiry)])
        if isinstance(answer, Failed):
            what = f"{self.options.model} did not answer the first turn of prompt {self.chat.prompt.name}"
            raise SenseiError(what, found=answer, hint=f"{remedy(str(answer)) or 'see to the server'} and run again")
        return keep_first_turn(self._kept, inquiry, answer.reply)

    def _over_budget(self) -> SenseiError:
        spent, in_vain = self.ledger.spent(self.options.model), self.ledger.lost(self.options.model)
        lost = f" ({in_vain:.4f} $ of it for replies that broke)" if in_vain else ""
        return SenseiError(
            f"the next question to {self.options.model} could exceed `max_usd`",
            found=f"{spent:.4f} $ spent{lost}",
            expected=f"at most {self.options.max_usd:g} $",
            hint="raise `max_usd` and run again: every answer bought is kept, only what has none is asked",
        )
