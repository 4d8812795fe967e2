"""A server on loopback that speaks the OpenAI API and does, in turn, what servers and networks do wrong; it knows what it charges.

Each question gets the fault so many times, then the answer "0". `FAULTS` is the table: what comes back, what the server charges for it,
and what becomes of a question that never gets anything else.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

INPUT_PRICE, OUTPUT_PRICE = 5.0, 15.0  # US dollars for 10^6 tokens
TOKENS = {"prompt_tokens": 300, "completion_tokens": 2}
LATE = 2.0  # seconds; more than tests wait
HTML = b"<!doctype html><html><head><title>Welcome to nginx!</title></head><body>It works.</body></html>"


def completion(content: Any, usage: Any = TOKENS, end: str = "stop", **more: Any) -> bytes:
    """The body of a chat completion."""
    choice = {"index": 0, "finish_reason": end, "message": {"role": "assistant", "content": content, **more}}
    return json.dumps({"id": "c", "object": "chat.completion", "choices": [choice], "usage": usage}).encode()


def complaint(message: Any, **more: Any) -> bytes:
    """The body of an error."""
    return json.dumps({"error": {"message": message, "type": "error", "code": None, "param": None, **more}}).encode()


@dataclass(frozen=True)
class Reply:
    """What comes back.

    status, body, headers: of the response. cut: bytes after which the connection ends; -1: before the status. late: seconds before it.
    tokens: (of questions, of replies) that the server charges.
    """

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    late: float = 0.0
    tokens: tuple[int, int] = (0, 0)

    @property
    def usd(self) -> float:
        """What the server charges for it."""
        return (self.tokens[0] * INPUT_PRICE + self.tokens[1] * OUTPUT_PRICE) / 1e6


PAID = (300, 2)
ANSWER = Reply(200, completion("0"), tokens=PAID)


@dataclass(frozen=True)
class Fault:
    """reply: what is done. outcome: of a question that gets it every time, a part of the message; None: it is answered all the same."""

    reply: Reply
    outcome: str | None


FAILED = "questions .*failed"
FAULTS = {
    # The status says that all is well, and there is no chat completion.
    "error in the body": Fault(Reply(200, complaint("the engine is overloaded")), f"{FAILED}: found .*the engine is overloaded"),
    "error as a text": Fault(Reply(200, b'{"error": "model is loading"}'), f"{FAILED}: found .*model is loading"),
    "detail": Fault(Reply(200, b'{"detail": "Internal error"}'), f"{FAILED}: found .*Internal error"),
    "web page": Fault(Reply(200, HTML, {"content-type": "text/html"}), f"{FAILED}: found .*a web page: Welcome to nginx!"),
    "nothing": Fault(Reply(200), f"{FAILED}: found .*an empty body"),
    "blanks": Fault(Reply(200, b" \n"), f"{FAILED}: found .*an empty body"),
    "null": Fault(Reply(200, b"null"), f"{FAILED}: found .*no chat completion but None"),
    "a number": Fault(Reply(200, b"17"), f"{FAILED}: found .*no chat completion but 17"),
    "a list": Fault(Reply(200, b"[]"), f"{FAILED}: found"),
    "no choices": Fault(Reply(200, b'{"choices": []}'), f"{FAILED}: found"),
    "choices that are none": Fault(Reply(200, b'{"choices": [7], "usage": {}}', tokens=PAID), f"{FAILED}: found"),
    "no message": Fault(Reply(200, b'{"choices": [{}]}', tokens=PAID), f"{FAILED}: found"),
    "content of a wrong kind": Fault(Reply(200, completion(True), tokens=PAID), f"{FAILED}: found"),
    "error in a choice": Fault(
        Reply(200, json.dumps({"choices": [{"error": {"message": "upstream"}, "message": {"content": "0"}}]}).encode(), tokens=PAID),
        f"{FAILED}: found .*upstream",
    ),
    "ended by an error": Fault(Reply(200, completion("0", end="error"), tokens=PAID), f"{FAILED}: found"),
    "nested 100,000-fold": Fault(Reply(200, b"[" * 100_000, tokens=PAID), f"{FAILED}: found"),
    "an event stream": Fault(Reply(200, b'data: {"choices": [{"delta": {"content": "0"}}]}\n\n', tokens=PAID), f"{FAILED}: found .*data:"),
    # Charged, and broken on the way.
    "cut in the middle": Fault(Reply(200, completion("0"), cut=40, tokens=PAID), f"{FAILED}: found connection broken"),
    "cut before the status": Fault(Reply(200, completion("0"), cut=-1, tokens=PAID), f"{FAILED}: found connection broken"),
    "cut and whole for HTTP": Fault(Reply(200, completion("0")[:60], tokens=PAID), f"{FAILED}: found .*no chat completion but"),
    "late": Fault(Reply(200, completion("0"), late=LATE, tokens=PAID), f"{FAILED}: found no reply within"),
    "bad encoding": Fault(Reply(200, b'{"choices": [{"message": {"content": "\xff\xfe0"', tokens=PAID), f"{FAILED}: found"),
    "not the compression it says": Fault(Reply(200, completion("0"), {"content-encoding": "gzip"}, tokens=PAID), f"{FAILED}: found"),
    "20 MB": Fault(Reply(200, completion("0" * 20_000_000), tokens=(300, 100)), f"{FAILED}: found a reply of more than"),
    "20 MB of blanks": Fault(Reply(200, completion("0") + b" " * 20_000_000, tokens=PAID), f"{FAILED}: found a reply of more than"),
    "a gateway that gave up": Fault(Reply(504, HTML, tokens=PAID), f"{FAILED}: found 504"),
    "a gateway that lost it": Fault(Reply(502, b"", tokens=PAID), f"{FAILED}: found 502"),
    # Refused for now.
    "500": Fault(Reply(500, complaint("internal")), f"{FAILED}: found 500 internal"),
    "503 as a page": Fault(Reply(503, HTML), f"{FAILED}: found 503"),
    "429 without a body": Fault(Reply(429), f"{FAILED}: found 429"),
    **{
        f"429, Retry-After {stated!r}": Fault(Reply(429, complaint("slow down"), {"retry-after": stated}), f"{FAILED}: found 429 slow down")
        for stated in ("soon", "nan", "-5", "", "0.01, 0.01", "Fri, 99 Foo 99999 99:99:99 GMT", "Mon, 01 Jan 99999999999 00:00:00 GMT")
    },
    **{
        f"429, Retry-After {stated!r}": Fault(Reply(429, complaint("slow down"), {"retry-after": stated}), "asks to wait")
        for stated in ("1e999", "86400")
    },
    # What the user must change.
    "401": Fault(Reply(401, complaint("no such key")), "OPENAI_API_KEY was refused"),
    "402 no credit": Fault(Reply(402, complaint("pay", code="insufficient_quota")), "no credit left"),
    "400 one picture": Fault(
        Reply(400, complaint("At most 1 image(s) may be provided in one request.")), "At most 1 image.*\n-> set `stitched: true`"
    ),
    "422 one picture": Fault(Reply(422, b'{"detail": "vision model only supports a single image"}'), "-> set `stitched: true`"),
    "500 one picture": Fault(
        Reply(500, complaint("vision model only supports a single image per message")), f"{FAILED}(.|\n)*-> set `stitched: true`"
    ),
    "400 no pictures": Fault(Reply(400, complaint("image input is not supported")), "takes no pictures: set `model`"),
    "400 temperature": Fault(
        Reply(400, complaint("Unsupported value: 'temperature' does not support 0.2 with this model.", param="temperature")),
        "temperature.*\n-> set `temperature: null`",
    ),
    "422 temperature": Fault(Reply(422, b'{"detail": [{"loc": ["body", "temperature"], "msg": "extra"}]}'), "-> set `temperature: null`"),
    "413": Fault(Reply(413, HTML), "refuses the questions .413."),
    # About this question: the others go on, and too many of them stop the shard.
    "400 too long": Fault(
        Reply(400, complaint("max_tokens is too large: 100. This model's maximum context length is 300 tokens.")),
        "replies of .* are no answers: found .*max_tokens is too large",
    ),
    "422 bad picture": Fault(Reply(422, complaint("cannot decode the image")), "replies of .* are no answers: found .*cannot decode"),
    "400 content policy": Fault(Reply(400, complaint("no", code="content_policy_violation")), "replies of .* are no answers: found"),
    # Chat completions without an answer: kept, paid, unknown; too many of them stop the shard.
    "cut by its length": Fault(Reply(200, completion("0", end="length"), tokens=PAID), "cut off, expected .*\n-> raise `reply_tokens`"),
    "thoughts cut by their length": Fault(Reply(200, completion("<think>Well, 0", end="length"), tokens=PAID), "-> raise `reply_tokens`"),
    "no text": Fault(Reply(200, completion(None), tokens=PAID), "are no answers: found .* empty"),
    "a refusal": Fault(Reply(200, completion(None, refusal="I cannot."), tokens=PAID), "are no answers: found .* refused"),
    "a refusal in parts": Fault(Reply(200, completion([{"type": "refusal", "refusal": "No."}]), tokens=PAID), "found .* refused"),
    "chatter": Fault(Reply(200, completion("The first, 0 or 1."), tokens=PAID), "are no answers: found .* outside the grammar"),
    "half a surrogate": Fault(Reply(200, completion("\ud800"), tokens=PAID), "are no answers: found .* outside the grammar"),
    # Answers.
    "thoughts": Fault(Reply(200, completion("<think>1? No, 0.</think>\n\n0"), tokens=PAID), None),
    "parts": Fault(Reply(200, completion([{"type": "thinking", "thinking": "1"}, {"type": "text", "text": "0"}]), tokens=PAID), None),
    "a fence": Fault(Reply(200, completion('```json\n{"answer": "0"}\n```'), tokens=PAID), None),
    "a bare number": Fault(Reply(200, completion(0), tokens=PAID), None),
    "a number in JSON": Fault(Reply(200, completion('{"answer": 0}'), tokens=PAID), None),
    **{
        f"{usage!r:.60} for usage": Fault(Reply(200, completion("0", usage), tokens=PAID), None)
        for usage in (
            None,
            {},
            [],
            "many",
            {"prompt_tokens": -1, "completion_tokens": "2"},
            {"prompt_tokens": 10**30, "completion_tokens": 10**12},
            {"prompt_tokens": float("nan"), "completion_tokens": True},
        )
    },
    "ten times the tokens": Fault(
        Reply(200, completion("0", {"prompt_tokens": 20_000, "completion_tokens": 50}), tokens=(20_000, 50)), None
    ),
}


class HostileServer(ThreadingHTTPServer):
    """Does `fault` to each question `times` times (None: always), then answers "0".

    Attributes:
        usd: what it has charged; with `once`, each Idempotency-Key only the first time.
        asked: question -> times that it came.
        fields: of requests -> times that they were given.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, fault: Reply, times: int | None, once: bool = False):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.fault, self.times, self.once = fault, times, once
        self.usd, self.asked, self.fields, self.keys, self.lock = 0.0, Counter(), Counter(), set(), threading.Lock()

    @property
    def address(self) -> str:
        """What OPENAI_BASE_URL is to be."""
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def reply_to(self, question: str, key: str | None) -> Reply:
        """What comes back, which is charged from here on."""
        with self.lock:
            self.asked[question] += 1
            reply = ANSWER if self.times is not None and self.asked[question] > self.times else self.fault
            if not (self.once and key in self.keys):
                self.usd += reply.usd
            if key is not None:
                self.keys.add(key)
        return reply

    def handle_error(self, *_: object) -> None:
        """The client has hung up: no news."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.fields.update(body.keys())
        self._send(self.server.reply_to(json.dumps(body["messages"]), self.headers["idempotency-key"]))

    def do_GET(self) -> None:
        self._send(Reply(404, b""))

    def _send(self, reply: Reply) -> None:
        time.sleep(reply.late)
        if reply.cut == -1:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in ({"content-type": "application/json"} | reply.headers).items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body[: reply.cut])
        self.close_connection = reply.cut is not None

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextlib.contextmanager
def hostile(fault: Reply, times: int | None = None, once: bool = False) -> Iterator[HostileServer]:
    """Run a `HostileServer`."""
    server = HostileServer(fault, times, once)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
