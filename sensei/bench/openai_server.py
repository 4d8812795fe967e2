"""A server on loopback that speaks enough of the OpenAI API to try annotators on: chat completions, models, files and batches.

It looks at the pictures: of two it prefers the brighter one, so labels can be checked. It counts how often it has answered each question
to the last byte, as a provider would for its bill, and does on request, at random, all that servers and networks do wrong.

    python -m sensei.bench.openai_server --faults '{"503": 0.1, "half_sent": 0.05}'    # prints its address

GET /count tells the counts; POST /faults sets other faults and counts from zero.
"""

import argparse
import asyncio
import base64
import contextlib
import email
import functools
import hashlib
import io
import itertools
import json
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import h11
import numpy as np
from PIL import Image

ANSWERS = ("0", "1", "2")  # the first picture is brighter, the second is, neither
STATUS = {"429": 429, "500": 500, "502": 502, "503": 503, "529": 529, "unauthorised": 401, "forbidden": 403, "bad_image": 400, "quota": 429}
CODES = {"quota": "insufficient_quota", "bad_image": "invalid_image", "429": "rate_limit_exceeded"}
REPLIES = {"empty": "", "outside_grammar": "10", "chatty": "The first image, because the key is visible."}
MOST_REQUESTS, MOST_BYTES = 50_000, 200 * 10**6  # of a batch


class Disconnect(Exception):
    """The connection ends here, on purpose."""


@dataclass
class Server:
    """Everything the server knows. faults: name -> probability of a request (in a batch: of an item)."""

    faults: dict[str, float]
    models: list[str]
    retry_after: float
    batch_seconds: float
    latency: float
    random: random.Random
    bought: Counter = field(default_factory=Counter)
    requests: Counter = field(default_factory=Counter)
    in_flight: int = 0
    most_in_flight: int = 0
    files: dict[str, bytes] = field(default_factory=dict)
    batches: dict[str, dict[str, Any]] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=itertools.count)

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection, request after request."""
        connection = h11.Connection(h11.SERVER)
        with contextlib.suppress(Disconnect, ConnectionError, h11.RemoteProtocolError):
            while True:
                request, body = await _receive(connection, reader)
                await self._respond(connection, request, body, reader, writer)
                if connection.our_state is not h11.DONE or connection.their_state is not h11.DONE:
                    break
                connection.start_next_cycle()
        writer.close()

    async def _respond(self, connection, request: h11.Request, body: bytes, reader, writer) -> None:
        method, path = request.method.decode(), request.target.decode().partition("?")[0].removeprefix("/v1")
        headers = {name.decode(): value.decode() for name, value in request.headers}
        if path == "/chat/completions":
            self.in_flight += 1
            self.most_in_flight = max(self.most_in_flight, self.in_flight)
            try:
                await self._chat(connection, json.loads(body), headers, reader, writer)
            finally:
                self.in_flight -= 1
        else:
            status, content = self._serve(method, path, headers, body)
            await _send(connection, writer, status, content)

    async def _chat(self, connection, body: dict[str, Any], headers: dict[str, str], reader, writer) -> None:
        """Answer a question, or do what servers do instead."""
        fault = self._fault()
        self.requests[fault or "answered"] += 1
        await asyncio.sleep(self.latency)
        if fault == "hang":
            await reader.read()  # until the client has had enough
        if fault in ("hang", "dropped"):
            raise Disconnect
        if status := STATUS.get(fault):
            key = headers.get("authorization", "").removeprefix("Bearer ")
            content = _error(f"{fault}: the server says no to {key}", CODES.get(fault))
        else:
            status, content = self._complete(body, fault)
        if reader.at_eof() or writer.is_closing():
            raise Disconnect
        if status == 200 and fault not in ("half_sent", "invalid_json"):
            self.bought[_identity(body)] += 1
        retry_after = self.retry_after if status in (429, 503) else None
        await _send(connection, writer, status, content, cut=len(content) // 2 if fault == "half_sent" else None, retry_after=retry_after)

    def _complete(self, body: dict[str, Any], fault: str | None) -> tuple[int, bytes]:
        """(status, body) of the response to a well-formed request."""
        if body["model"] not in self.models:
            return 404, _error(f"The model `{body['model']}` does not exist", "model_not_found")
        if fault == "no_schema" and "response_format" in body:
            return 400, _error("response_format of type json_schema is not supported", "unsupported_value")
        if fault == "invalid_json":
            return 200, b'{"choices": [{"message": {"content": "0"'
        urls = [part["image_url"]["url"] for part in body["messages"][-1]["content"] if part["type"] == "image_url"]
        text = _opinion(urls)
        if "response_format" in body:
            text = json.dumps({"answer": text})
        text = REPLIES.get(fault, text)
        message = {"role": "assistant", "content": text, "refusal": "I cannot judge this." if fault == "refusal" else None}
        letters = sum(len(part.get("text", "")) for message in body["messages"] for part in message["content"])
        usage = {"prompt_tokens": letters // 4 + 85 * len(urls), "completion_tokens": max(1, len(text) // 4)}
        completion = {"id": f"chatcmpl-{next(self.numbers)}", "object": "chat.completion", "model": body["model"], "usage": usage}
        completion["choices"] = [{"index": 0, "finish_reason": "stop", "message": message}]
        return 200, json.dumps(completion).encode()

    def _serve(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, bytes]:
        """(status, body) of everything but chat completions."""
        match method, path.strip("/").split("/"):
            case "GET", ["count"]:
                counts = {"bought": self.bought.total(), "questions": len(self.bought), "repeated": self._repeated()}
                counts |= {
                    "requests": self.requests,
                    "most_in_flight": self.most_in_flight,
                    "batches": len(self.batches),
                    "files": len(self.files),
                }
                counts["cpu_seconds"] = time.process_time()
                return 200, json.dumps(counts).encode()
            case "POST", ["faults"]:
                self.faults = json.loads(body)
                self.bought.clear()
                self.requests.clear()
                self.most_in_flight = 0
                return 200, b"{}"
            case "GET", ["models"]:
                return 200, json.dumps({"object": "list", "data": [{"id": name, "object": "model"} for name in self.models]}).encode()
            case "POST", ["files"]:
                content = _uploaded(headers["content-type"], body)
                return 200, json.dumps(self._file(content)).encode()
            case "GET", ["files", name, "content"]:
                return 200, self.files[name]
            case "POST", ["batches"]:
                return 200, json.dumps(self._submit(json.loads(body))).encode()
            case "GET", ["batches"]:
                return 200, json.dumps({"object": "list", "data": list(self.batches.values())[::-1], "has_more": False}).encode()
            case "GET", ["batches", name]:
                return 200, json.dumps(self._progress(self.batches[name])).encode()
        return 404, _error(f"no {method} {path}", None)

    def _file(self, content: bytes) -> dict[str, Any]:
        name = f"file-{next(self.numbers)}"
        self.files[name] = content
        return {"id": name, "object": "file", "bytes": len(content), "created_at": 0, "filename": "batch.jsonl", "purpose": "batch"}

    def _submit(self, asked: dict[str, Any]) -> dict[str, Any]:
        batch = {
            "id": f"batch-{next(self.numbers)}",
            "object": "batch",
            "status": "in_progress",
            "created_at": int(time.time()),
            "ready": time.monotonic() + self.batch_seconds,
            **asked,
        }
        content = self.files[asked["input_file_id"]]
        lines = content.splitlines()
        names = {json.loads(line)["custom_id"] for line in lines}
        if len(lines) > MOST_REQUESTS or len(content) > MOST_BYTES or len(names) < len(lines):
            batch |= {
                "status": "failed",
                "errors": {"object": "list", "data": [{"code": "invalid", "message": "too much, or a name twice"}]},
            }
        self.batches[batch["id"]] = batch
        return batch

    def _progress(self, batch: dict[str, Any]) -> dict[str, Any]:
        """The batch, worked through if its time has come."""
        if batch["status"] != "in_progress" or time.monotonic() < batch["ready"]:
            return batch
        done, failed, late = [], [], False
        for line in self.files[batch["input_file_id"]].splitlines():
            item = json.loads(line)
            fault = self._fault()
            self.requests[fault or "answered"] += 1
            if fault == "missing":
                continue
            result = {"id": f"req-{next(self.numbers)}", "custom_id": item["custom_id"], "response": None, "error": None}
            if fault == "expired":
                late = True
                failed.append(result | {"error": {"code": "batch_expired", "message": "not done within 24 h"}})
                continue
            if status := STATUS.get(fault):
                content = _error(f"{fault}: the server says no", CODES.get(fault))
                failed.append(result | {"response": {"status_code": status, "request_id": "r", "body": json.loads(content)}})
                continue
            status, content = self._complete(item["body"], None if fault == "invalid_json" else fault)
            self.bought[_identity(item["body"])] += 1
            result["response"] = {"status_code": status, "request_id": f"r{next(self.numbers)}", "body": json.loads(content)}
            done += [result] * (2 if fault == "duplicated" else 1)
        self.random.shuffle(done)
        for name, results in (("output_file_id", done), ("error_file_id", failed)):
            if results:
                batch[name] = self._file("\n".join(map(json.dumps, results)).encode())["id"]
        batch["status"] = "expired" if late else "completed"
        return batch

    def _fault(self) -> str | None:
        draw = self.random.random()
        for name, probability in self.faults.items():
            draw -= probability
            if draw < 0:
                return name
        return None

    def _repeated(self) -> int:
        """Answers given to questions that had one already."""
        return self.bought.total() - len(self.bought)


async def _receive(connection: h11.Connection, reader: asyncio.StreamReader) -> tuple[h11.Request, bytes]:
    """The next request and its body."""
    request, body = None, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(2**16))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += event.data
        elif isinstance(event, h11.EndOfMessage):
            return request, bytes(body)
        else:
            raise Disconnect


async def _send(
    connection: h11.Connection, writer, status: int, content: bytes, cut: int | None = None, retry_after: float | None = None
) -> None:
    """Send a response; with `cut` only so many bytes of its body, and then hang up."""
    headers = [("content-type", "application/json"), ("content-length", str(len(content))), ("x-request-id", f"req-{id(content):x}")]
    headers += [("retry-after", f"{retry_after:g}")] if retry_after is not None else []
    writer.write(connection.send(h11.Response(status_code=status, headers=headers)))
    writer.write(connection.send(h11.Data(content[:cut])))
    if cut is not None:
        await writer.drain()
        raise Disconnect
    writer.write(connection.send(h11.EndOfMessage()))
    await writer.drain()


def _uploaded(content_type: str, body: bytes) -> bytes:
    """The file in a form."""
    form = email.message_from_bytes(f"Content-Type: {content_type}\r\n\r\n".encode() + body)
    [file] = [part for part in form.get_payload() if part.get_filename()]
    return file.get_payload(decode=True)


def _error(message: str, code: str | None) -> bytes:
    return json.dumps({"error": {"message": message, "code": code, "param": None, "type": "error"}}).encode()


def _identity(body: dict[str, Any]) -> str:
    """Equal for equal questions."""
    return hashlib.sha256(json.dumps(body["messages"]).encode()).hexdigest()


@functools.lru_cache(maxsize=2**16)
def _brightness(url: str) -> float:
    with Image.open(io.BytesIO(base64.b64decode(url.partition(",")[2]))) as image:
        return float(np.asarray(image).mean())


def _opinion(urls: list[str]) -> str:
    """Which of two pictures is the brighter one; of any other number, what is to be seen."""
    if len(urls) != 2:
        return f"I see {len(urls)} picture of an environment. Bright things in it are worth exploring."
    first, second = map(_brightness, urls)
    return ANSWERS[2 if first == second else int(second > first)]


@contextlib.contextmanager
def running(**options: Any) -> Iterator[str]:
    """Run the server in a process of its own; yields its address, http://127.0.0.1:PORT/v1. Options are those of the command line."""
    arguments = [f"--{name.replace('_', '-')}={json.dumps(value) if isinstance(value, dict) else value}" for name, value in options.items()]
    process = subprocess.Popen([sys.executable, "-m", "sensei.bench.openai_server", *arguments], stdout=subprocess.PIPE, text=True)
    try:
        yield process.stdout.readline().strip()
    finally:
        process.terminate()
        process.wait()
        process.stdout.close()


async def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--host", default="127.0.0.1", help="address to listen at")
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--faults", type=json.loads, default={}, help="JSON: name -> probability")
    parser.add_argument("--models", default="gpt-4o-2024-05-13", help="names, divided by commas")
    parser.add_argument("--retry-after", type=float, default=0.05, help="seconds that 429 and 503 ask for")
    parser.add_argument("--batch-seconds", type=float, default=0.5, help="until a batch is done")
    parser.add_argument("--latency", type=float, default=0.0, help="seconds that a model would think")
    parser.add_argument("--seed", type=int, default=0, help="of the faults")
    options = parser.parse_args()
    server = Server(
        options.faults, options.models.split(","), options.retry_after, options.batch_seconds, options.latency, random.Random(options.seed)
    )
    listening = await asyncio.start_server(server.connect, options.host, options.port)
    print(f"http://{options.host}:{listening.sockets[0].getsockname()[1]}/v1", flush=True)
    await listening.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_main())
