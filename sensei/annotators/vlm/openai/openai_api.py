"""Annotator behind any server that speaks the OpenAI API: many questions in flight, each asked once and paid once (see `ledger`)."""

import asyncio
import itertools
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from sensei.annotators.ledger import Answer, Ledger, OverBudget
from sensei.annotators.prompts import load_prompt
from sensei.annotators.registry import Assignment
from sensei.annotators.vlm.chat import Chat, Inquiry, reply_to
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.server import Failed, Server
from sensei.core.errors import SenseiError
from sensei.core.files import write_json
from sensei.preferences.pair import Pair, Reply, Side
from sensei.study.models.annotators import OpenAIConfig

AHEAD = 2048  # pairs that may be answered before an earlier one
GLANCE = 0.1  # seconds between looks at a question that another process asks
DRAIN = 20.0  # seconds for which replies are waited for when the annotator stops
EARLY = 100  # replies after which too many unreadable ones stop the annotator
HOPELESS = 10  # failures in a row after which the server is given up


class OpenAIAnnotator:
    """Asks a chat model about pairs; replies come in the order of the pairs, from the ledger if they are there.

    A question that fails for good is a reply with `error`; at the end, the failed ones are raised together.

    Raises:
        SenseiError: on asking: the server cannot be used (`Server`), the budget is reached, too many replies are unreadable, or
            questions failed. All answers until then are in the ledger.
    """

    def __init__(self, config: OpenAIConfig, assignment: Assignment):
        self.config, self.folder = config, assignment.folder
        self.chat, self.ledger = Chat(config, load_prompt(assignment.prompt)), Ledger(assignment.ledger)
        self._reason: Failed | None = None

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair."""
        self.server = Server(self.config, self.ledger)
        pairs, counts = iter(pairs), Counter()
        for first in pairs:  # the first turn needs a pair to find the first picture of all by
            with Runner() as runner:
                one_by_one = OneByOne(self, runner)
                try:
                    history = self._first_turn(first, one_by_one)
                    inquiries = ((pair, self.chat.about(pair, history)) for pair in itertools.chain([first], pairs))
                    for pair, answer in self._way(one_by_one, runner).answers(inquiries):
                        yield self._reply(pair, answer, counts)
                except OverBudget:
                    raise self._over_budget() from None
                finally:
                    one_by_one.close()
                    runner.run(self.server.close())
        self._check(counts)

    def _way(self, one_by_one: "OneByOne", runner: Runner) -> "Way":
        if not self.config.requests.batch:
            return one_by_one
        from sensei.annotators.vlm.openai.batch import Batches

        return Batches(self, runner)

    def _first_turn(self, pair: Pair, way: "Way") -> tuple[str, ...]:
        """The prompt's first turn and its reply, kept in first_turn.json beside the labels; nothing for a prompt of one turn."""
        asked = self.chat.prompt.first_turn
        if asked is None:
            return ()
        inquiry = self.chat.about_environment(Side(pair.first.frames, 0, {}))
        [(_, answer)] = way.answers([(pair, inquiry)])
        if isinstance(answer, Failed) or answer.fault:
            found = answer if isinstance(answer, Failed) else f"{answer.fault}: {answer.reply[:200]}"
            raise SenseiError(f"{self.config.model} did not answer the first turn of prompt {self.chat.prompt.name}", found=found)
        question = inquiry.question
        about = {"model": question.model, "prompt": question.prompt, "version": question.version, "picture": question.first}
        write_json(self.folder / "first_turn.json", about | {"question": asked, "reply": answer.reply, "ledger": question.key})
        return asked, answer.reply

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
                f"{counts['failed']} of {counts['asked']} questions to {self.config.model} at {self.server.host} failed",
                found=self._reason,
                hint="run again: it asks these alone, all other answers are kept",
            )
        self._check_readable(counts)

    def _check_readable(self, counts: Counter) -> None:
        if counts["unreadable"] > self.config.max_unreadable * counts["asked"]:
            raise SenseiError(
                f"{counts['unreadable']} of {counts['asked']} replies of {self.config.model} are no answers",
                expected=f"at most a share of {self.config.max_unreadable:g} (`max_unreadable`)",
                hint="`python -m sensei ledger export replies.csv` shows them; then mend the prompt or its grammar",
            )

    def _over_budget(self) -> SenseiError:
        spent = self.ledger.spent(self.config.model)
        return SenseiError(
            f"the next question to {self.config.model} could exceed `max_usd`",
            found=f"{spent:.4f} $ spent",
            expected=f"at most {self.config.max_usd:g} $",
            hint="raise `max_usd` and run again: every answer bought is kept, only what has none is asked",
        )


class Way(Protocol):
    """How questions are put to a server."""

    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """The answer to each question, in their order.

        Raises:
            OverBudget: the next question could exceed the budget.
            SenseiError: no further question can succeed.
        """
        ...


class OneByOne:
    """A request for each question, many at a time."""

    def __init__(self, annotator: OpenAIAnnotator, runner: Runner):
        self.chat, self.ledger, self.server, self.config = annotator.chat, annotator.ledger, annotator.server, annotator.config
        self._runner = runner
        self._slots = asyncio.Semaphore(self.config.requests.at_once)
        self._tasks: dict[str, asyncio.Task] = {}
        self._broken: asyncio.Future | None = None
        self._failures = 0
        self._abandoned = False

    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """See `Way`."""
        inquiries, window = iter(inquiries), deque()
        while answered := self._runner.run(self._advance(inquiries, window)):
            yield from answered

    def close(self) -> None:
        """Wait for what is in flight, and end."""
        self._runner.run(self._drain())

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
                return await self._claimed(inquiry) or await self._asked(inquiry)
        except (OverBudget, SenseiError) as error:
            if not self._broken.done():
                self._broken.set_exception(error)
            return Failed(str(error))

    async def _claimed(self, inquiry: Inquiry) -> Answer | None:
        """Wait until the question is ours to ask, None, or another process has its answer."""
        config, requests = self.config, self.config.requests
        seconds = requests.attempts * (requests.timeout + requests.longest_wait)
        limits = {"max_usd": config.max_usd, "at_once": requests.at_once, "seconds": seconds}
        usd = self.chat.most_usd(inquiry)
        while not self.ledger.claim(inquiry.question, usd, **limits):
            if known := self.ledger.find(inquiry.question):
                return known
            if self.ledger.claimed_by(inquiry.question):
                what = f"a batch with questions to {config.model} was submitted and not collected"
                raise SenseiError(what, hint="set `requests: {batch: true}` and run again")
            await asyncio.sleep(GLANCE)
        return None

    async def _asked(self, inquiry: Inquiry) -> Answer | Failed:
        """Ask a question that is claimed, and record its answer."""
        question = inquiry.question
        try:
            answer = await self.server.ask(self.chat, inquiry)
        except Failed as failed:
            self.ledger.release(question.key)
            self._failures += 1
            if self._failures >= max(HOPELESS, self.config.requests.at_once):
                what = f"{self._failures} questions in a row to {self.config.model} at {self.server.host} failed"
                raise SenseiError(what, found=failed, hint="see to the server and run again: all answers are kept") from failed
            return failed
        except (SenseiError, asyncio.CancelledError):
            if not self._abandoned:  # else the server may still answer, and charge: an open claim becomes a loss
                self.ledger.release(question.key)
            raise
        self._failures = 0
        self.ledger.record(question, answer)
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
        self._abandoned = True
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
