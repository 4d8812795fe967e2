"""The page over HTTP, for who started it: it listens on the loopback address of this machine, every path begins with a secret, and it
talks only to pages that it served itself."""

import json
import operator
import re
import secrets
import sys
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from sensei.core.errors import SenseiError
from sensei.core.faults import explained
from sensei.label_page.session import Refused, Session

ADDRESS = "127.0.0.1"
HOSTS = (ADDRESS, "localhost")  # by which this machine calls itself; any port, since a tunnel may have another
PAGE = Path(__file__).with_name("page.html")
LONGEST = 10_000  # bytes of a request
KEY_BYTES = 16
LENGTH = re.compile(r"[0-9]{1,9}")
QUESTION = re.compile(r"/question/([0-9]{1,9})")
PICTURE = re.compile(r"/picture/([0-9]{1,9})/(first|second)\.png")
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'self'; style-src 'self' 'unsafe-inline'; script-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
}


class Elsewhere(SenseiError):
    """A request that no page of ours sent, or of somebody who was not told the address."""


class Absent(SenseiError):
    """A path behind which there is nothing."""


class Server(ThreadingHTTPServer):
    """Serves one session."""

    daemon_threads = True

    def __init__(self, session: Session, port: int):
        """Raises SenseiError if the port cannot be had."""
        self.session, self.key = session, kept_key(session.questions.key_path)
        try:
            super().__init__((ADDRESS, port), Handler)
        except OSError as error:
            raise SenseiError(
                f"port {port} of this machine cannot be had", found=error.strerror, hint="--port 0 takes a free one"
            ) from error

    def handle_error(self, request: object, client_address: object) -> None:
        """Say what failed, but not that a browser was closed."""
        if not isinstance(sys.exception(), ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{ADDRESS}:{self.server_port}/{self.key}/"


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_GET(self) -> None:
        """The page, the state, a question, a picture, or the labels so far."""
        self._respond(self._get)

    def do_POST(self) -> None:
        """An answer."""
        self._respond(self._post)

    def log_message(self, format: str, *arguments: object) -> None:
        """Nothing: the page shows what there is to know."""

    def _get(self, path: str) -> tuple[str, bytes]:
        session = self.server.session
        if path == "/":
            return "text/html; charset=utf-8", PAGE.read_bytes()
        if path == "/state":
            return _json(session.state())
        if path == "/labels.csv":
            return "text/csv; charset=utf-8", session.labels().to_csv(index=False).encode()
        if found := QUESTION.fullmatch(path):
            return _json(session.question(int(found[1])))
        if found := PICTURE.fullmatch(path):
            return "image/png", session.picture(int(found[1]), found[2])
        raise Absent(f"there is nothing at {path}")

    def _post(self, path: str) -> tuple[str, bytes]:
        if path != "/answer":
            raise Absent(f"{path} takes no answers")
        length = LENGTH.fullmatch(self.headers.get("Content-Length", ""))
        if self.headers.get("Content-Type") != "application/json" or not length or int(length[0]) > LONGEST:
            self.close_connection = True
            raise SenseiError("an answer is a short JSON object of type application/json")
        try:
            sent = json.loads(self.rfile.read(int(length[0])))
            parts = operator.index(sent["question"]), sent["answer"], sent["seconds"], sent["corrects"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise SenseiError("an answer needs question, answer, seconds and corrects", found=error) from error
        self.server.session.answer(*parts)
        return _json(self.server.session.state())

    def _respond(self, handle: Callable[[str], tuple[str, bytes]]) -> None:
        try:
            self._check_origin()
            status, (kind, body) = HTTPStatus.OK, handle(self._path())
        except SenseiError as error:
            self.close_connection = True  # what it sent besides was perhaps not read
            status = next((status for fault, status in STATUS.items() if isinstance(error, fault)), HTTPStatus.BAD_REQUEST)
            kind, body = _told(error)
        except OSError as error:  # the answer could not be kept
            status, (kind, body) = HTTPStatus.INSUFFICIENT_STORAGE, _told(explained(error) or error)
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **HEADERS}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def _path(self) -> str:
        """What is asked for, below the secret.

        Raises:
            Elsewhere: it is not the secret, so others who are logged in here see and answer nothing.
        """
        _, key, *path = self.path.partition("?")[0].split("/", 2)
        if not (path and secrets.compare_digest(key.encode(), self.server.key.encode())):
            raise Elsewhere("this page is for who started it: open the whole address that label-page printed, with its last /")
        return f"/{path[0]}"

    def _check_origin(self) -> None:
        """Refuse what a page from elsewhere sends: by a name that was made to lead here (DNS rebinding), or across sites.

        Raises:
            Elsewhere: it does.
        """
        host, origin = self.headers.get("Host", ""), self.headers.get("Origin")
        if host.partition(":")[0] not in HOSTS:
            raise Elsewhere("this page is for this machine only: open the address that label-page printed")
        followed = self.command == "GET" and self.headers.get("Sec-Fetch-Mode") == "navigate"  # a link, wherever it stood
        strange = self.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none")
        if (origin is not None and origin != f"http://{host}") or (strange and not followed):
            raise Elsewhere("a page from elsewhere may not use this one")


def kept_key(path: Path) -> str:
    """The secret of a person's page, which nobody else can read; the same after a crash, so that a page that is open goes on."""
    path.touch(0o600)
    path.chmod(0o600)  # it may be a copy
    key = path.read_text(encoding="ascii", errors="replace")
    if not re.fullmatch(r"[\w-]{22}", key):
        path.write_text(key := secrets.token_urlsafe(KEY_BYTES), encoding="ascii")
    return key


STATUS = {Elsewhere: HTTPStatus.FORBIDDEN, Absent: HTTPStatus.NOT_FOUND, Refused: HTTPStatus.CONFLICT}


def _json(value: object) -> tuple[str, bytes]:
    return "application/json", json.dumps(value).encode()


def _told(error: object) -> tuple[str, bytes]:
    return _json({"error": str(error)})
