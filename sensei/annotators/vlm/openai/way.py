"""How questions are put to a server: the one thing that `one_by_one` and `batch` have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

from sensei.annotators.ledger import Ledger
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import Inquiry
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.failures import Failed
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.server import Server
from sensei.preferences.pair import Pair


class Way(ABC):
    """One way to have questions answered.

    Args:
        chat: what is said.
        ledger: where answers are looked up, claimed and recorded.
        server: who is asked.
        runner: where coroutines run.
    """

    def __init__(self, chat: Completions, ledger: Ledger, server: Server, runner: Runner):
        self.chat, self.ledger, self.server, self.runner = chat, ledger, server, runner
        self.options = chat.options

    @abstractmethod
    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """The answer to each question, in their order.

        Raises:
            OverBudget: the next question could exceed the budget.
            SenseiError: no further question can succeed.
        """
