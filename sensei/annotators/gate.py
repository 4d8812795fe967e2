"""Whether enough of a shard's replies are answers: what a model says that cannot be read is no label, and often a mistake in the study."""

from collections import Counter

from sensei.annotators.questions import CUT
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Reply

EARLY = 100  # replies after which too many unreadable ones stop a shard that goes on
HINTS = {CUT: "raise `reply_tokens`: a model that thinks first needs hundreds"}
SHOWS = "`python -m sensei ledger export replies.csv` shows them; then mend the prompt, its grammar or the model's settings"


class Gate:
    """Counts all replies of a shard, those taken up from an interrupted run too.

    Args:
        name: of the annotator.
        limit: largest share of replies that may be no answers; None: any.
    """

    def __init__(self, name: str, limit: float | None):
        self._name, self._limit = name, limit
        self._asked, self._faults, self._error = 0, Counter(), None

    def count(self, reply: Reply) -> None:
        """Take in a reply.

        Raises:
            SenseiError: too many of those so far are no answers.
        """
        self._asked += 1
        if reply.error is not None:
            self._error = reply.error
        if reply.fault or reply.error is not None:
            self._faults[reply.fault or "failed"] += 1
        if self._asked >= EARLY:
            self.check()

    def check(self) -> None:
        """Pass the replies there are.

        Raises:
            SenseiError: too many are no answers; the same again when the shard is taken up with these replies.
        """
        if self._limit is None or self._faults.total() <= self._limit * self._asked:
            return
        kinds = ", ".join(f"{number} {fault}" for fault, number in self._faults.most_common())
        said = f", the last: {self._error}" if self._error else ""
        raise SenseiError(
            f"{self._faults.total()} of {self._asked} replies of {self._name} are no answers",
            found=f"{kinds}{said}",
            expected=f"at most a share of {self._limit:g} (`max_unreadable`)",
            hint=HINTS.get(self._faults.most_common(1)[0][0], SHOWS),
        )
