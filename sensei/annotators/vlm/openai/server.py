"""A server that speaks the OpenAI API: requests that are limited, timed, tried again, and failures that say what to do.

Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY; the key is never written anywhere, not even where the server repeats it.
"""

import asyncio
import dataclasses
import email.utils
import logging
import os
import time
from typing import Any

import openai
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exception, wait_random_exponential

from sensei.annotators.ledger import Ledger
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import REFUSED, REJECTED, Inquiry
from sensei.annotators.vlm.openai.completions import Completions
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.core.errors import SenseiError

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
LONGEST_RETRY_AFTER = 600.0  # a server that asks for more seconds is not asked again in this run
SHOWN = 300  # letters of a server's complaint in our messages
SECRET = 16  # letters from which a key is one; a local server's "anything" may well occur in a reply
AGAIN = {408, 409, 429}  # and all from 500
BROKE = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
UNSUITABLE = {"content_policy_violation", "content_filter"}
log = logging.getLogger("sensei.annotate")


class Failed(Exception):
    """A question without an answer after all attempts; the message says why."""


class Server:
    """The server that the environment variables name, as one annotator uses it.

    Raises:
        SenseiError: on making it: the key is unset or the address none. On asking: what no second attempt can mend, see `final`.
    """

    def __init__(self, options: OpenAIOptions, ledger: Ledger):
        self.options, self.ledger = options, ledger
        self._key = _key()
        for name in ("openai", "httpx2", "httpx"):  # a line for every request, or worse
            logging.getLogger(name).setLevel(logging.WARNING)
        self.client = openai.AsyncOpenAI(timeout=options.requests.timeout, max_retries=0)
        self.host = self.client.base_url.netloc.decode().rpartition("@")[2]
        self.flying: set[asyncio.Task] = set()
        self.stopping = False
        self._unsupported: set[str] = set()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def ask(self, chat: Completions, inquiry: Inquiry) -> Answer:
        """Ask a question until it is answered.

        Raises:
            Failed: there is no answer after all attempts.
            SenseiError: no attempt can succeed.
        """
        body, tokens = chat.body(inquiry), chat.input_tokens(inquiry)
        tokens += body["max_tokens"]
        try:
            async for attempt in self.attempts():
                with attempt:
                    await self._admitted(tokens)
                    started = time.monotonic()
                    response = await self._complete(body)
            return self.keyless(
                chat.read(
                    inquiry,
                    response.content,
                    seconds=time.monotonic() - started,
                    attempts=attempt.retry_state.attempt_number,
                    server=self.host,
                    request=response.headers.get("x-request-id"),
                )
            )
        except openai.APIStatusError as error:
            if fault := fault_of(error.status_code, error.code, error.message):
                return self.keyless(Answer(self.said(error), None, fault, server=self.host, request=error.request_id))
            if not transient(error):
                raise await self.final(error) from None  # the cause may repeat the key
            raise Failed(f"{error.status_code} {self.said(error)}") from None
        except (openai.APIConnectionError, TimeoutError) as error:
            raise Failed(_what_broke(error)) from None

    def attempts(self) -> AsyncRetrying:
        """Attempts at a request, with as long waits between them as the server asks for, and growing random ones on top."""
        requests = self.options.requests
        return AsyncRetrying(
            retry=retry_if_exception(lambda error: transient(error) and not self.stopping),
            wait=wait_exception(_retry_after) + wait_random_exponential(multiplier=0.5, max=requests.longest_wait),
            stop=stop_after_attempt(requests.attempts),
            reraise=True,
        )

    async def _admitted(self, tokens: int) -> None:
        """Wait until the limits a minute let a request through."""
        limits = self.options.requests
        while seconds := self.ledger.admit(self.options.model, tokens, limits.per_minute, limits.tokens_per_minute):
            await asyncio.sleep(min(seconds, 1.0))

    async def _complete(self, body: dict[str, Any]) -> Any:
        """One chat completion; without what the server is known not to support."""
        task, sent = asyncio.current_task(), self.supported(body)
        self.flying.add(task)
        try:
            async with asyncio.timeout(self.options.requests.timeout):  # the client's own limit is between bytes
                # As `extra_body` it goes out as it is: the client's own walk through the messages takes a quarter of its time.
                create = self.client.chat.completions.with_raw_response.create
                return await create(model=sent["model"], messages=[], extra_body=sent)
        except openai.BadRequestError as error:
            refused = {name for name in ("response_format", "max_tokens") if name in sent and name in f"{error.param} {error.message}"}
            if not refused:
                raise
            if refused - self._unsupported:
                log.warning("%s does not support %s: asking without", self.host, " and ".join(sorted(refused)))
            self._unsupported |= refused
        finally:
            self.flying.discard(task)
        return await self._complete(body)

    def supported(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body without what the server is known not to support."""
        kept = {name: value for name, value in body.items() if name not in self._unsupported}
        return kept if "max_tokens" in kept else kept | {"max_completion_tokens": body["max_tokens"]}

    async def final(self, error: openai.APIStatusError) -> SenseiError:
        """What to tell people about an error that no second attempt can mend."""
        model, status = self.options.model, error.status_code
        if status == 401:
            return SenseiError(f"{KEY} was refused by {self.host} (401)", hint=f"export a key that {self.host} knows, or set {ADDRESS}")
        if status == 403:
            return SenseiError(f"{KEY} may not use {model} at {self.host} (403)", hint=f"check the account behind {KEY}, and {ADDRESS}")
        if status == 404:
            return SenseiError(f"{self.host} has no model {model!r} (404)", expected=await self._offered(), hint="set `model`")
        if error.code in BROKE:
            return SenseiError(
                f"the account behind {KEY} has no credit left at {self.host} ({status} {error.code})",
                hint="top it up and run again: the answers so far are kept, nothing is asked twice",
            )
        return SenseiError(f"{self.host} refuses the questions ({status})", found=self.said(error), hint="correct the annotator's settings")

    async def _offered(self) -> str:
        """The models the server offers."""
        try:
            names = sorted(model.id for model in (await self.client.models.list()).data)
        except openai.OpenAIError:
            return f"a server whose address ends in /v1 (it lists no models either; check {ADDRESS})"
        return "one of " + ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")

    def said(self, error: openai.APIStatusError) -> str:
        """A server's complaint, shortened, without the key."""
        body = error.body if isinstance(error.body, dict) else {}
        return self.scrubbed(str(body.get("message") or error.message))[:SHOWN]

    def keyless(self, answer: Answer) -> Answer:
        """An answer without the key, should the server repeat it."""
        if self._key in f"{answer.reply}{answer.request}":
            return dataclasses.replace(answer, reply=self.scrubbed(answer.reply), request=self.scrubbed(str(answer.request)))
        return answer

    def scrubbed(self, text: str) -> str:
        """A text without the key."""
        return text.replace(self._key, "***") if len(self._key) >= SECRET else text


def _key() -> str:
    """The key, checked together with the address."""
    key, address = os.environ.get(KEY, ""), os.environ.get(ADDRESS, "")
    if not key:
        raise SenseiError(f"{KEY} is not set", hint=f"export {KEY}; for a server of your own that wants none, any text, and {ADDRESS}")
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SenseiError(f"{KEY} holds characters that no key has, such as blanks, line ends or quotes", hint=f"export {KEY} again")
    if address and not address.startswith(("http://", "https://")):
        raise SenseiError(f"{ADDRESS} is no address", expected="http://HOST:PORT/v1 or https://HOST/v1")
    return key


def fault_of(status: int, code: str | None, message: str) -> str | None:
    """What is the matter with a question that the server does not want to answer; None if it is not the question's fault."""
    if status == 400 and code in UNSUITABLE:
        return REFUSED
    return REJECTED if status == 400 and "image" in f"{code} {message}".lower() else None


def transient(error: BaseException) -> bool:
    """Whether another attempt may succeed: overload, a server's fault, a time-out, a broken connection."""
    if isinstance(error, openai.APIStatusError):
        worth = error.status_code in AGAIN or error.status_code >= 500
        return worth and error.code not in BROKE and _retry_after(error) <= LONGEST_RETRY_AFTER
    return isinstance(error, openai.APIConnectionError | TimeoutError)


def _retry_after(error: BaseException) -> float:
    """Seconds of a Retry-After header, which may also be a date; 0 without one."""
    stated = error.response.headers.get("retry-after", "") if isinstance(error, openai.APIStatusError) else ""
    try:
        return max(float(stated), 0.0)
    except ValueError:
        date = email.utils.parsedate_tz(stated)
        return max(email.utils.mktime_tz(date) - time.time(), 0.0) if date else 0.0


def _what_broke(error: BaseException) -> str:
    """A connection's fault by the name of its exception; the text could hold a header with the key."""
    if isinstance(error, TimeoutError | openai.APITimeoutError):
        return "timed out"
    return f"connection broken ({type(error.__cause__ or error).__name__})"
