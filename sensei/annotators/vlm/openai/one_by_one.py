"""A request for each question, many in flight at a time."""

import asyncio
import dataclasses
import itertools
from collections import deque
from collections.abc import Iterable, Iterator

from sensei.annotators.ledger import Ledger, OverBudget
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import Inquiry
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.failures import Failed, Rejected, remedy
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.server import Server
from sensei.annotators.vlm.openai.way import Way
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Pair

AHEAD = 2048  # pairs that may be answered before an earlier one
GLANCE = 0.1  # seconds between looks at a question that another process asks
DRAIN = 20.0  # seconds for which replies are waited for when the annotator stops
HOPELESS = 10  # failures in a row after which the server is given up


class OneByOne(Way):
    """A request for each question; `close` it in the end."""

    def __init__(self, chat: Completions, ledger: Ledger, server: Server, runner: Runner):
        super().__init__(chat, ledger, server, runner)
        self._slots = asyncio.Semaphore(self.options.requests.at_once)
        self._tasks: dict[str, asyncio.Task] = {}
        self._broken: asyncio.Future | None = None
        self._failures = 0

    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """See `Way`."""
        inquiries, window = iter(inquiries), deque()
        while answered := self.runner.run(self._advance(inquiries, window)):
            yield from answered

    def close(self) -> None:
        """Wait for what is in flight, and end."""
        self.runner.run(self._drain())

    async def _advance(self, inquiries: Iterator, window: deque) -> list[tuple[Pair, Answer | Failed]]:
        """Fill the window of questions in work, wait for its first one, and take out all that are done before one that is not."""
        self._broken = self._broken or asyncio.get_running_loop().create_future()
        for pair, inquiry in itertools.islice(inquiries, AHEAD - len(window)):
            window.append((pair, self._task(inquiry)))
        if window:
            await asyncio.wait([window[0][1], self._broken], return_when=asyncio.FIRST_COMPLETED)
        if self._broken.done():
            raise self._broken.exception()
        return [(pair, task.result()) for pair, task in iter(lambda: window.popleft() if window and window[0][1].done() else None, None)]

    def _task(self, inquiry: Inquiry) -> asyncio.Task:
        """The task that answers a question; the same one for equal questions."""
        key = inquiry.question.key
        if key not in self._tasks:
            self._tasks[key] = asyncio.create_task(self._answer(inquiry))
            self._tasks[key].add_done_callback(lambda _: self._tasks.pop(key))
        return self._tasks[key]

    async def _answer(self, inquiry: Inquiry) -> Answer | Failed:
        try:
            if known := self.ledger.find(inquiry.question):
                return known
            async with self._slots:
                return await self._asked(inquiry)
        except (OverBudget, SenseiError) as error:
            if not self._broken.done():
                self._broken.set_exception(error)
            return Failed(str(error))

    async def _claimed(self, inquiry: Inquiry) -> Answer | None:
        """Wait until the question is ours to ask, None, or another process has its answer."""
        options, requests = self.options, self.options.requests
        seconds = requests.attempts * (requests.timeout + requests.longest_wait)
        limits = {"max_usd": options.max_usd, "at_once": requests.at_once, "seconds": seconds}
        usd = self.chat.most_usd(inquiry)
        while not self.ledger.claim(inquiry.question, usd, **limits):
            if known := self.ledger.find(inquiry.question):
                return known
            if self.ledger.claimed_by(inquiry.question):
                what = f"a batch with questions to {options.model} was submitted and not collected"
                raise SenseiError(what, hint="set `requests: {batch: true}` and run again")
            await asyncio.sleep(GLANCE)
        return None

    async def _asked(self, inquiry: Inquiry) -> Answer | Failed:
        """Ask a question until it has an answer; every attempt is claimed, and booked, by itself."""
        named = 0  # attempts that the server knows the outcome of: after one the next is another request
        try:
            async for attempt in self.server.attempts():
                with attempt:
                    number = attempt.retry_state.attempt_number
                    try:
                        answer = await self._claimed(inquiry) or await self._sent(inquiry, number, f"{inquiry.question.key}-{named}")
                    except Failed as failed:
                        named += failed.usd is not None
                        raise
        except Rejected as rejected:
            return rejected
        except Failed as failed:
            self._failures += 1
            if self._failures >= max(HOPELESS, self.options.requests.at_once):
                what = f"{self._failures} questions in a row to {self.options.model} at {self.server.host} failed"
                hint = f"{remedy(str(failed)) or 'see to the server'} and run again: all answers are kept"
                raise SenseiError(what, found=failed, hint=hint) from None
            return failed
        self._failures = 0
        return answer

    async def _sent(self, inquiry: Inquiry, attempt: int, name: str) -> Answer:
        """Send a question that is claimed, once: its answer is recorded, or what it may have cost without one is booked."""
        question, task = inquiry.question, asyncio.current_task()
        try:
            answer = await self.server.ask(self.chat, inquiry, name)
        except Failed as failed:
            self.ledger.give_up(question.key, failed.usd)
            raise
        except asyncio.CancelledError:
            self.ledger.give_up(question.key, None if task in self.server.flying else 0.0)
            raise
        except SenseiError:
            self.ledger.give_up(question.key)
            raise
        finally:
            self.server.flying.discard(task)
        answer = dataclasses.replace(answer, attempts=attempt)
        self.ledger.record(question, answer, charged_once=self.options.requests.charged_once)
        return answer

    async def _drain(self) -> None:
        """Let the requests in flight come back; drop all that is not sent."""
        self.server.stopping = True
        tasks = list(self._tasks.values())
        for task in tasks:
            if task not in self.server.flying:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=DRAIN)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
