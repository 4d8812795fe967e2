"""A shard's questions to a server that speaks the OpenAI API: each asked once and paid once (see `sensei.annotators.ledger`)."""

import itertools
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from sensei.annotators.ledger import Ledger, OverBudget
from sensei.annotators.prompts import Prompt
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import FirstTurn, keep_first_turn, reply_to
from sensei.annotators.vlm.openai.batch import Batches
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.one_by_one import OneByOne
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.annotators.vlm.openai.server import Failed, Server
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Pair, Reply, Side

EARLY = 100  # replies after which too many unreadable ones stop the annotator


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
        self._reason: Failed | None = None

    def replies(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair.

        Raises:
            SenseiError: the server cannot be used (`Server`), the budget is reached, too many replies are unreadable, or questions
                failed. All answers until then are in the ledger.
        """
        self.server, pairs, counts = Server(self.options, self.ledger), iter(pairs), Counter()
        for first in pairs:  # all of them at once: the first turn needs a pair to find the first picture of all by
            with Runner() as runner:
                means = self.chat, self.ledger, self.server, runner
                one_by_one = OneByOne(*means)
                way = Batches(*means) if self.options.requests.batch else one_by_one
                try:
                    earlier = self._first_turn(first, one_by_one)
                    inquiries = ((pair, self.chat.about(pair, earlier)) for pair in itertools.chain([first], pairs))
                    for pair, answer in way.answers(inquiries):
                        yield self._reply(pair, answer, counts)
                except OverBudget:
                    raise self._over_budget() from None
                finally:
                    one_by_one.close()
                    runner.run(self.server.close())
        self._check(counts)

    def _first_turn(self, pair: Pair, way: OneByOne) -> FirstTurn | None:
        """The prompt's first turn with its reply; None for a prompt of one turn."""
        if self.chat.prompt.first_turn is None:
            return None
        inquiry = self.chat.about_environment(Side(pair.first.frames, 0, {}))
        [(_, answer)] = way.answers([(pair, inquiry)])
        if isinstance(answer, Failed) or answer.fault:
            found = answer if isinstance(answer, Failed) else f"{answer.fault}: {answer.reply[:200]}"
            raise SenseiError(f"{self.options.model} did not answer the first turn of prompt {self.chat.prompt.name}", found=found)
        return keep_first_turn(self._kept, inquiry, answer.reply)

    def _reply(self, pair: Pair, answer: Answer | Failed, counts: Counter) -> Reply:
        counts["asked"] += 1
        if isinstance(answer, Failed):
            counts["failed"] += 1
            self._reason = answer
            return Reply(pair.pair, pair.swapped, "", None, str(answer))
        counts["unreadable"] += answer.fault is not None
        if counts["asked"] >= EARLY:
            self._check_readable(counts)
        return reply_to(pair, answer)

    def _check(self, counts: Counter) -> None:
        if counts["failed"]:
            raise SenseiError(
                f"{counts['failed']} of {counts['asked']} questions to {self.options.model} at {self.server.host} failed",
                found=self._reason,
                hint="run again: it asks these alone, all other answers are kept",
            )
        self._check_readable(counts)

    def _check_readable(self, counts: Counter) -> None:
        if counts["unreadable"] > self.options.max_unreadable * counts["asked"]:
            raise SenseiError(
                f"{counts['unreadable']} of {counts['asked']} replies of {self.options.model} are no answers",
                expected=f"at most a share of {self.options.max_unreadable:g} (`max_unreadable`)",
                hint="`python -m sensei ledger export replies.csv` shows them; then mend the prompt or its grammar",
            )

    def _over_budget(self) -> SenseiError:
        spent = self.ledger.spent(self.options.model)
        return SenseiError(
            f"the next question to {self.options.model} could exceed `max_usd`",
            found=f"{spent:.4f} $ spent",
            expected=f"at most {self.options.max_usd:g} $",
            hint="raise `max_usd` and run again: every answer bought is kept, only what has none is asked",
        )
