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

import openai

from sensei.annotators.ledger import Batch, Ledger
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import Inquiry
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.interruption import Runner
from sensei.annotators.vlm.openai.server import AGAIN, BROKE, SHOWN, Failed, Server, fault_of
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

    def answers(self, inquiries: Iterable[tuple[Pair, Inquiry]]) -> Iterator[tuple[Pair, Answer | Failed]]:
        """See `Way`."""
        inquiries = list(inquiries)
        self.runner.run(self._answer({inquiry.question.key: inquiry for _, inquiry in inquiries}))
        for pair, inquiry in inquiries:
            yield pair, self.ledger.find(inquiry.question) or Failed(f"no answer in {self._tries[inquiry.question.key]} batches")

    async def _answer(self, inquiries: dict[str, Inquiry]) -> None:
        """Submit and collect until each question has an answer, or has been in vain in as many batches as there may be attempts."""
        try:
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
        except openai.APIStatusError as error:
            raise await self.server.final(error) from None  # the cause may repeat the key
        except openai.APIConnectionError as error:
            what = f"{self.server.host} does not answer"
            raise SenseiError(what, found=type(error.__cause__ or error).__name__, hint="run again: it takes the batch up") from None

    def _unanswered(self, inquiries: dict[str, Inquiry]) -> dict[str, Inquiry]:
        most = self.options.requests.attempts
        return {
            key: inquiry for key, inquiry in inquiries.items() if self._tries[key] < most and self.ledger.find(inquiry.question) is None
        }

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
                self.ledger.release(question.key)
        name = await self._submitted(token, bytes(content))
        self.ledger.name_batch(token, name)
        log.info("%d questions to %s in batch %s", content.count(b"\n"), self.options.model, name)
        return True

    async def _submitted(self, token: str, content: bytes) -> str:
        """Submit a batch once, however often the connection breaks; returns the server's name of it."""
        async for attempt in self.server.attempts():
            with attempt:
                if known := await self._by_token(token):
                    return known
                file = await self._client.files.create(file=("questions.jsonl", content), purpose="batch")
                create = self.server.client.batches.create  # without a second attempt: it might make a second batch
                batch = await create(completion_window="24h", endpoint=URL, input_file_id=file.id, metadata={TOKEN: token})
        return batch.id

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
        left = self.ledger.claims_of_batch(batch.token)
        self._tries.update(left & ours)
        if left <= inquiries.keys():  # else another shard has yet to take in its part
            self.ledger.end_batch(batch.token)
        if status.status == "failed":
            refusals += [str(error.message) for error in (status.errors and status.errors.data) or []]
        if refusals or status.status == "failed":
            what = f"{self.server.host} refuses questions to {self.options.model} (batch {name})"
            raise SenseiError(what, found=self.server.scrubbed(refusals[0]) if refusals else "no reason", hint="mend it and run again")
        return True

    def _collect(self, content: bytes, inquiries: dict[str, Inquiry], name: str) -> list[str]:
        """Record the answers in a result file; what is damaged, foreign, doubled or not an answer is passed over.

        Returns:
            What the server says of questions that it will never answer.
        """
        refusals = []
        for line in content.splitlines():
            try:
                result = json.loads(line)
                inquiry, response = inquiries[result["custom_id"]], result["response"]
                status, body, request = response["status_code"], response["body"], response.get("request_id")
            except (ValueError, LookupError, TypeError, AttributeError):
                continue
            if status == 200:
                answer = self.chat.read(inquiry, body, server=self.server.host, request=request, batch=name)
                self.ledger.record(inquiry.question, self.server.keyless(answer))
                continue
            error = body.get("error") or {} if isinstance(body, dict) else {}
            said = str(error.get("message"))[:SHOWN]
            if fault := fault_of(status, error.get("code"), said):
                answer = Answer(said, None, fault, server=self.server.host, request=request, batch=name)
                self.ledger.record(inquiry.question, self.server.keyless(answer))
            elif error.get("code") in BROKE or (400 <= status < 500 and status not in AGAIN):
                refusals.append(f"{status} {said}")
        return refusals
