"""An environment that takes its time without using the processor, for tests that disturb a run on its way."""

import os
import time

from sensei.envs.contract import Outcome
from sensei.envs.toy import Counting


class SlowCounting(Counting):
    """Counting; each step waits `SECONDS_PER_STEP` of the process environment, nothing by default. What happens is the same.

    `PLANNED_SECONDS_PER_STEP` is what a time limit follows from.
    """

    seconds_per_step = float(os.environ.get("PLANNED_SECONDS_PER_STEP", "0"))

    def _advance(self, action: int) -> Outcome:
        time.sleep(float(os.environ.get("SECONDS_PER_STEP", "0")))
        return super()._advance(action)
