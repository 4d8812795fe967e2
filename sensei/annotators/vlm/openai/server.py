"""A server that speaks the OpenAI API: requests that are limited, timed, tried again, and failures that say what to do.

Address and key come from OPENAI_BASE_URL and OPENAI_API_KEY; the key is never written anywhere, not even where the server repeats it.
"""

import asyncio
import contextlib
import dataclasses
import email.utils
import logging
import math
import os
import ssl
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any

import httpx2
import openai
from tenacity import AsyncRetrying, retry_if_exception, stop_after_attempt, wait_exception, wait_random_exponential

from sensei.annotators.ledger import Ledger
from sensei.annotators.questions import Answer
from sensei.annotators.vlm.chat import Inquiry
from sensei.annotators.vlm.openai.completions import SHOWN, Completions, said
from sensei.annotators.vlm.openai.failures import Failed, Rejected, WebPage, about_one_question, remedy, unsupported
from sensei.annotators.vlm.openai.options import OpenAIOptions
from sensei.core.errors import SenseiError

KEY, ADDRESS = "OPENAI_API_KEY", "OPENAI_BASE_URL"
LONGEST_RETRY_AFTER = 600.0  # a server that asks for more seconds is not asked again in this run
MOST_BYTES = 4 * 10**6  # of a reply
SECRET = 16  # letters from which a key is one; a local server's "anything" may well occur in a reply
AGAIN = {408, 409, 429}  # and all from 500
GATEWAY = {502, 504, *range(520, 528)}  # said by what stands before the server, which may have answered, and charged
QUESTIONABLE = {400, 413, 422}  # statuses that may be about a single question
BROKE = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}
UNSENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
    httpx2.LocalProtocolError,
    httpx2.InvalidURL,
)
NETWORK = "HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"  # variables, besides the address, on the way
log = logging.getLogger("sensei.annotate")


class Server:
    """The server that the environment variables name, as one annotator uses it.

    Raises:
        SenseiError: on making it: the key is unset, or the address or what is on the way none. On asking: what no second attempt can mend.
    """

    def __init__(self, options: OpenAIOptions, ledger: Ledger):
        self.options, self.ledger = options, ledger
        self._key = _key()
        for name in ("openai", "httpx2", "httpx"):  # a line for every request, or worse
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            self.client = openai.AsyncOpenAI(timeout=options.requests.timeout, max_retries=0)
        except (OSError, ValueError, ImportError, httpx2.InvalidURL, openai.OpenAIError) as error:
            found = self.scrubbed(" ".join(str(error).split()))[:SHOWN]
            raise SenseiError("no connection can be made with these variables", found=found, hint=_on_the_way()) from None
        self.host = self.client.base_url.netloc.decode().rpartition("@")[2]
        self.flying: set[asyncio.Task] = set()
        self.stopping = False
        self._unsupported: set[str] = set()

    async def close(self) -> None:
        """Close the connections."""
        await self.client.close()

    async def ask(self, chat: Completions, inquiry: Inquiry, name: str) -> Answer:
        """Send a question once.

        Args:
            chat: which puts it into words.
            inquiry: the question.
            name: of this attempt, for a server that charges each name once (`requests.charged_once`).

        Raises:
            Failed: there is no answer.
            SenseiError: no attempt can succeed.
        """
        body = chat.body(inquiry)
        await self._admitted(chat.input_tokens(inquiry) + body["max_tokens"])
        started = time.monotonic()
        async with self.understood():
            content, headers = await self._complete(body, {"Idempotency-Key": name} if self.options.requests.charged_once else {})
            seconds, request = time.monotonic() - started, headers.get("x-request-id")
            return self.keyless(chat.read(inquiry, content, seconds=seconds, server=self.host, request=request))

    def attempts(self) -> AsyncRetrying:
        """Attempts at a request, with as long waits between them as the server asks for, and growing random ones on top."""
        requests = self.options.requests
        return AsyncRetrying(
            retry=retry_if_exception(lambda error: isinstance(error, Failed) and error.again and not self.stopping),
            wait=wait_exception(lambda error: error.after) + wait_random_exponential(multiplier=0.5, max=requests.longest_wait),
            stop=stop_after_attempt(requests.attempts),
            reraise=True,
        )

    @contextlib.asynccontextmanager
    async def understood(self) -> AsyncIterator[None]:
        """What the client raises, as what it means; without the cause, which may repeat the key.

        Raises:
            Failed: see there.
            SenseiError: no attempt can succeed.
        """
        try:
            yield
        except openai.APIStatusError as error:
            raise await self._refusal(error) from None
        except (openai.APIConnectionError, httpx2.HTTPError, TimeoutError) as error:
            raise self._broken(error) from None
        except Failed as failed:
            failed.args = (self.scrubbed(str(failed)),)
            if isinstance(failed, WebPage) and not self._versioned:
                raise self._no_api(str(failed)) from None
            raise

    async def _admitted(self, tokens: int) -> None:
        """Wait until the limits a minute let a request through."""
        limits = self.options.requests
        while seconds := self.ledger.admit(self.options.model, tokens, limits.per_minute, limits.tokens_per_minute):
            await asyncio.sleep(min(seconds, 1.0))

    async def _complete(self, body: dict[str, Any], headers: Mapping[str, str]) -> tuple[bytes, Mapping[str, str]]:
        """(body, headers) of the response to a question; asked without what the server is known not to support.

        The task stays in `flying`: if it is cancelled there, the server may have charged.
        """
        sent = self.supported(body)
        # As `extra_body` it goes out as it is: the client's own walk through the messages takes a quarter of its time.
        create = self.client.chat.completions.with_streaming_response.create
        request = create(model=sent["model"], messages=[], extra_body=sent, extra_headers=headers)
        self.flying.add(asyncio.current_task())
        try:
            async with asyncio.timeout(self.options.requests.timeout), request as response:  # the client's own limit is between bytes
                content = bytearray()
                async for part in response.iter_bytes():
                    content += part
                    if len(content) > MOST_BYTES:
                        raise Failed(f"a reply of more than {MOST_BYTES} bytes", usd=None)
                return bytes(content), response.headers
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            refused = unsupported({"response_format", "max_tokens"} & sent.keys(), f"{error.code} {error.param} {self._complaint(error)}")
            if not refused:
                raise
            if refused - self._unsupported:
                log.warning("%s does not support %s: asking without", self.host, " and ".join(sorted(refused)))
            self._unsupported |= refused
        return await self._complete(body, headers)

    def supported(self, body: dict[str, Any]) -> dict[str, Any]:
        """A request's body without what the server is known not to support."""
        kept = {name: value for name, value in body.items() if name not in self._unsupported}
        return kept if "max_tokens" in kept else kept | {"max_completion_tokens": body["max_tokens"]}

    async def _refusal(self, error: openai.APIStatusError) -> Exception:
        """What a status means: `Failed`, or for what no attempt can mend what to tell people."""
        model, status, complaint = self.options.model, error.status_code, self._complaint(error)
        after = _seconds(error.response.headers.get("retry-after", ""))
        if error.code in BROKE:
            return SenseiError(
                f"the account behind {KEY} has no credit left at {self.host} ({status} {error.code})",
                hint="top it up and run again: the answers so far are kept, nothing is asked twice",
            )
        if status in AGAIN or status >= 500:
            late = f" (asks to wait {after:.0f} s)" if after > LONGEST_RETRY_AFTER else ""
            usd = None if status in GATEWAY else 0.0
            return Failed(f"{status} {complaint}{late}", usd=usd, again=not late, after=after)
        if status in QUESTIONABLE and about_one_question(f"{error.code} {complaint}"):
            return Rejected(f"the server rejects this question: {status} {complaint}")
        if status == 401:
            return SenseiError(f"{KEY} was refused by {self.host} (401)", hint=f"export a key that {self.host} knows, or set {ADDRESS}")
        if status == 403:
            return SenseiError(f"{KEY} may not use {model} at {self.host} (403)", hint=f"check the account behind {KEY}, and {ADDRESS}")
        offered = await self._offered() if status == 404 else None
        if status in (404, 405) and not offered and not self._versioned:
            return self._no_api(f"{status} {complaint}")
        if status == 404:
            expected = offered or f"a server whose address ends in /v1 (it lists no models either; check {ADDRESS})"
            return SenseiError(f"{self.host} has no model {model!r} (404)", expected=expected, hint="set `model`")
        hint = remedy(complaint) or "correct the annotator's settings"
        return SenseiError(f"{self.host} refuses the questions ({status})", found=complaint, hint=hint)

    def _broken(self, error: Exception) -> Exception:
        """What a connection's fault means, told without the exception's text, which could hold a header with the key."""
        causes = [error]
        while cause := causes[-1].__cause__ or causes[-1].__context__:
            causes.append(cause)
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in causes):
            return SenseiError(f"{self.host} shows a certificate that is not trusted", hint=_on_the_way())
        reasons = [cause.strerror for cause in causes if isinstance(cause, OSError) and cause.strerror]
        what = ", ".join([*reasons[-1:], type(error.__cause__ or error).__name__])
        if any(isinstance(cause, UNSENT) for cause in causes):
            return Failed(f"no connection ({what}); {_on_the_way()}")
        if isinstance(error, TimeoutError | openai.APITimeoutError | httpx2.TimeoutException):
            return Failed(f"no reply within {self.options.requests.timeout:g} s", usd=None)
        return Failed(f"connection broken ({what})", usd=None)

    @property
    def _versioned(self) -> bool:
        """Whether the address ends as nearly all do."""
        return self.client.base_url.path.rstrip("/").endswith("/v1")

    def _no_api(self, found: str) -> SenseiError:
        address = self.client.base_url.copy_with(username=None, password=None)
        hint = f"export {ADDRESS}={str(address).rstrip('/')}/v1: /v1 is missing from the address"
        return SenseiError(f"no chat completions at {self.host}{address.path}", found=found, hint=hint)

    async def _offered(self) -> str | None:
        """The models the server offers; None if it lists none."""
        try:
            names = sorted(model.id for model in (await self.client.models.list()).data)
        except (openai.OpenAIError, ValueError, TypeError, AttributeError):  # what comes back may be anything
            return None
        return "one of " + ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "") if names else None

    def _complaint(self, error: openai.APIStatusError) -> str:
        """A server's complaint in a line, shortened, without the key."""
        return self.scrubbed(said(error.body) if error.body else " ".join(error.message.split())[:SHOWN])

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
    if address and not _is_address(address):
        raise SenseiError(f"{ADDRESS} is no address", expected="http://HOST:PORT/v1 or https://HOST/v1, without blanks and line ends")
    return key


def _is_address(text: str) -> bool:
    if not text.isprintable() or " " in text:
        return False
    try:
        address = httpx2.URL(text)
    except (httpx2.InvalidURL, ValueError):
        return False
    return address.scheme in ("http", "https") and bool(address.host) and (address.port or 0) < 2**16 and not address.query


def _on_the_way() -> str:
    """Which variables decide how a server is reached."""
    given = [name for name in (ADDRESS, *NETWORK) if name in os.environ or name.lower() in os.environ]
    return f"check {', '.join(given) or ADDRESS}"


def _seconds(stated: str) -> float:
    """Seconds of a Retry-After header, which may also be a date; 0 without one, or for one that cannot be read."""
    try:
        seconds = float(stated)
    except ValueError:
        try:
            date = email.utils.parsedate_tz(stated)
            seconds = email.utils.mktime_tz(date) - time.time() if date else 0.0
        except (ValueError, OverflowError, TypeError):
            return 0.0
    return 0.0 if math.isnan(seconds) else max(seconds, 0.0)
