"""Questions by the Batch API: uploaded together, answered within a day, at half the price.

A batch is noted in the ledger before it is submitted, under a token of ours that the server keeps with it. So a process that is stopped at
any point finds its batch again: by the server's name of it, or, should it have been stopped before it learnt that, by the token.
"""

import asyncio
import json
import logging
import uuid
from collections import Counter
from collections.abc import Iterable, Iterator

from sensei.annotators.ledger import Batch, Ledger
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import Inquiry
from sensei.annotators.vlm.openai.completions import Completions, said
from sensei.annotators.vlm.openai.failures import Failed, Rejected, about_one_question, remedy
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.server import AGAIN, BROKE, QUESTIONABLE, Server
from sensei.annotators.vlm.openai.way import Way
from sensei.core.errors import SenseiError
from sensei.preferences.pair import Pair

URL = "/v1/chat/completions"
MOST_REQUESTS, MOST_BYTES = 50_000, 200 * 10**6  # of one batch
SOONEST, LATEST, GROWTH = 0.5, 60.0, 1.5  # seconds between two looks at a batch
ENDED = {"completed", "expired", "cancelled", "failed"}
LISTED = 1000  # batches among which one of unknown name is looked for
TOKEN = "sensei"  # key of our token in a batch's metadata
log = logging.getLogger("sensei.annotate")


class Batches(Way):
    """Asks all questions of a shard in as few batches as the limits and the budget allow."""

    def __init__(self, chat: Completions, ledger: Ledger, server: Server, runner: Runner):
        super().__init__(chat, ledger, server, runner)
        self._client = server.client.with_options(max_retries=self.options.requests.attempts)
        self._tries: Counter[str] = Counter()
        self._failed: dict[str, Failed] = {}

    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """See `Way`."""
        inquiries = list(inquiries)
        self.runner.run(self._answer({inquiry.question.key: inquiry for _, inquiry in inquiries}))
        for pair, inquiry in inquiries:
            key = inquiry.question.key
            yield pair, self.ledger.find(inquiry.question) or self._failed.get(key) or Failed(f"no answer in {self._tries[key]} batches")

    async def _answer(self, inquiries: dict[str, Inquiry]) -> None:
        """Submit and collect until each question has an answer, or has been in vain in as many batches as there may be attempts."""
        try:
            async with self.server.understood():
                await self._submit_and_collect(inquiries)
        except Failed as failed:
            raise SenseiError(f"{self.server.host} does not answer", found=failed, hint="run again: it takes the batch up") from None

    async def _submit_and_collect(self, inquiries: dict[str, Inquiry]) -> None:
        pause = SOONEST
        while unanswered := self._unanswered(inquiries):
            collected = [await self._look(batch, unanswered) for batch in self.ledger.batches(self.options.model)]
            if any(collected):
                pause = SOONEST
                continue
            while await self._submit(unanswered):
                pause = SOONEST
            await asyncio.sleep(pause)
            pause = min(pause * GROWTH, LATEST)

    def _unanswered(self, inquiries: dict[str, Inquiry]) -> dict[str, Inquiry]:
        """Those without an answer that are worth another batch."""
        most = self.options.requests.attempts
        worth = {
            key: inquiry
            for key, inquiry in inquiries.items()
            if self._tries[key] < most and not isinstance(self._failed.get(key), Rejected)
        }
        return {key: inquiry for key, inquiry in worth.items() if self.ledger.find(inquiry.question) is None}

    async def _submit(self, inquiries: dict[str, Inquiry]) -> bool:
        """Submit a batch of what nobody has claimed; whether there was anything, and money for it."""
        token = uuid.uuid4().hex
        free = [inquiry for inquiry in inquiries.values() if self.ledger.claimed_by(inquiry.question) is None][:MOST_REQUESTS]
        prices = [self.chat.most_usd(inquiry) for inquiry in free]
        questions = [inquiry.question for inquiry in free]
        taken = self.ledger.claim_batch(self.options.model, questions, prices, max_usd=self.options.max_usd, token=token)
        if not taken:
            return False
        content = bytearray()
        for question in taken:
            body = self.server.supported(self.chat.body(inquiries[question.key]))
            line = json.dumps({"custom_id": question.key, "method": "POST", "url": URL, "body": body}).encode() + b"\n"
            if len(content) + len(line) <= MOST_BYTES:
                content += line
            else:
                self.ledger.give_up(question.key)
        name = await self._submitted(token, bytes(content))
        self.ledger.name_batch(token, name)
        log.info("%d questions to %s in batch %s", content.count(b"\n"), self.options.model, name)
        return True

    async def _submitted(self, token: str, content: bytes) -> str:
        """Submit a batch once, however often the connection breaks; returns the server's name of it."""
        async for attempt in self.server.attempts():
            with attempt:
                async with self.server.understood():
                    name = await self._by_token(token) or await self._created(token, content)
        return name

    async def _created(self, token: str, content: bytes) -> str:
        file = await self._client.files.create(file=("questions.jsonl", content), purpose="batch")
        create = self.server.client.batches.create  # without a second attempt: it might make a second batch
        return (await create(completion_window="24h", endpoint=URL, input_file_id=file.id, metadata={TOKEN: token})).id

    async def _by_token(self, token: str) -> str | None:
        """The server's name of the batch that was submitted under `token`."""
        count = 0
        async for batch in self._client.batches.list(limit=100):
            if (batch.metadata or {}).get(TOKEN) == token:
                return batch.id
            count += 1
            if count == LISTED:
                break
        return None

    async def _look(self, batch: Batch, inquiries: dict[str, Inquiry]) -> bool:
        """Take in the answers of a batch, if it holds questions of ours and has ended; whether something changed."""
        ours = self.ledger.claims_of_batch(batch.token) & inquiries.keys()
        if batch.foreign or not ours:
            return False
        name = batch.name or await self._by_token(batch.token)
        if name is None:  # stopped before it was submitted
            self.ledger.end_batch(batch.token)
            return True
        if batch.name is None:
            self.ledger.name_batch(batch.token, name)
        status = await self._client.batches.retrieve(name)
        if status.status not in ENDED:
            return False
        refusals = []
        for file in (status.output_file_id, status.error_file_id):
            if file:
                content = (await self._client.files.content(file)).content
                refusals += self._collect(content, {key: inquiries[key] for key in ours}, name)
        self._tries.update(key for key in ours if self.ledger.find(inquiries[key].question) is None)
        if self.ledger.claims_of_batch(batch.token) <= inquiries.keys():  # else another shard has yet to take in its part
            self.ledger.end_batch(batch.token, lost=status.status == "completed")  # then there is no word about what is left
        if status.status == "failed":
            refusals += [str(error.message) for error in (status.errors and status.errors.data) or []]
        if refusals or status.status == "failed":
            what = f"{self.server.host} refuses questions to {self.options.model} (batch {name})"
            found = self.server.scrubbed(refusals[0]) if refusals else "no reason"
            raise SenseiError(what, found=found, hint=remedy(found) or "mend it and run again")
        return True

    def _collect(self, content: bytes, inquiries: dict[str, Inquiry], name: str) -> list[str]:
        """Record the answers in a result file, and what is said of questions without one; what is damaged or foreign is passed over.

        Returns:
            What the server says of questions that it will never answer, whoever asks them.
        """
        refusals = []
        for line in content.splitlines():
            try:
                result = json.loads(line)
                key = result["custom_id"]
                inquiry, response = inquiries[key], result.get("response") or {}
                status, body, request = response.get("status_code"), response.get("body"), response.get("request_id")
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            try:
                if status != 200:
                    raise Failed(said(result.get("error") or body))
                answer = self.chat.read(inquiry, body, server=self.server.host, request=request, batch=name)
                self.ledger.record(inquiry.question, self.server.keyless(answer))
            except Failed as failed:
                complaint, code = self.server.scrubbed(str(failed)), _code(body)
                self._failed[key] = Failed(complaint)
                self.ledger.give_up(key, failed.usd)
                if status in QUESTIONABLE and about_one_question(f"{code} {complaint}"):
                    self._failed[key] = Rejected(f"the server rejects this question: {status} {complaint}")
                elif code in BROKE or (status and 400 <= status < 500 and status not in AGAIN):
                    refusals.append(f"{status} {complaint}")
        return refusals


def _code(body: object) -> str | None:
    """The code of the error in a response's body."""
    error = body.get("error") if isinstance(body, dict) else None
    return error.get("code") if isinstance(error, dict) else None
