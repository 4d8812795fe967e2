"""What is said of a server that cannot be used, when it is asked again, and that the key is written nowhere."""

import contextlib
import http.server
import ssl
import subprocess
import threading
import time

import pytest
from fakes.asking import MODEL, SECRET, asking, command, counted, draw, shard_of, told, write_frames, write_study
from fakes.hostile_server import HTML, Reply, hostile
from helpers import ROOT, environment

from sensei.bench.openai_server import running
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout


@contextlib.contextmanager
def https_server(folder):
    """A server whose certificate nobody has signed."""
    names = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem", "-subj", "/CN=localhost", "-days", "1"]
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("unauthorised", r"OPENAI_API_KEY was refused by 127.0.0.1:\d+ \(401\)"),
        ("forbidden", r"OPENAI_API_KEY may not use gpt-4o-2024-05-13 at 127.0.0.1:\d+ \(403\)"),
        ("quota", r"has no credit left at 127.0.0.1:\d+ \(429 insufficient_quota\)"),
    ],
)
def test_what_no_second_attempt_mends_stops_at_once(tmp_path, address, fault, message):
    told(address, {fault: 1.0})
    with pytest.raises(SenseiError, match=message):
        list(asking(tmp_path).replies(draw(write_frames(tmp_path), 200)))
    assert counted(address)["requests"][fault] <= 2 * 16, "no attempt but those in flight"


def test_an_unknown_model_is_named_with_those_there_are(tmp_path, address):
    with pytest.raises(SenseiError, match=rf"no model 'gpt-5-nano' \(404\): expected one of {MODEL}"):
        list(asking(tmp_path, model="gpt-5-nano").replies(draw(write_frames(tmp_path), 3)))


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("OPENAI_API_KEY", "", "OPENAI_API_KEY is not set"),
        ("OPENAI_API_KEY", "sk-broken\nline", "holds characters that no key has"),
        ("OPENAI_BASE_URL", "127.0.0.1:8000/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:8000/v1\n", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://127.0.0.1:99999/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://:8000/v1", "OPENAI_BASE_URL is no address"),
        ("OPENAI_BASE_URL", "http://[::1/v1", "OPENAI_BASE_URL is no address"),
        ("HTTPS_PROXY", "nonsense://127.0.0.1", r"no connection can be made .*\n-> check OPENAI_BASE_URL, HTTPS_PROXY"),
        ("SSL_CERT_FILE", "/absent/ca.pem", r"no connection can be made .*\n-> check OPENAI_BASE_URL, SSL_CERT_FILE"),
    ],
)
def test_a_wrong_variable_is_named_before_anything_is_sent(tmp_path, address, monkeypatch, variable, value, message):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SenseiError, match=message):
        list(asking(tmp_path).replies(draw(write_frames(tmp_path), 3)))
    assert counted(address)["requests"] == {}


@pytest.mark.slow
def test_the_key_is_written_nowhere(tmp_path, address):
    """Not into logs, manifests, ledger, replies or error messages, even though the server repeats it in its own."""
    for number, faults in enumerate(
        ({"bad_image": 0.5, "429": 0.2}, {"unauthorised": 1.0}, {"503": 1.0}, {"quota": 1.0}, {"forbidden": 1.0})
    ):
        told(address, faults)
        folder = tmp_path / str(number)
        folder.mkdir()
        files = write_study(folder, 30, 10, max_unreadable=1.0, requests={"attempts": 8, "longest_wait": 0.1, "at_once": 4})
        with open(folder / "log", "wb") as log:
            result = subprocess.run(command(files), cwd=ROOT, env=environment(), stdout=log, stderr=log, check=False)
        assert (result.returncode == 0) == (number == 0)
    produced = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert {"log", "ledger.sqlite", "shard0.jsonl", "shard0.jsonl.manifest.json"} <= {path.name for path in produced}
    leaks = [path for path in produced if SECRET[:12].encode() in path.read_bytes()]
    assert leaks == []
    assert "the server says no to ***" in shard_of(Layout(tmp_path / "0" / "results" / "smoke")).read_text()


def test_a_server_that_asks_for_time_is_given_it(tmp_path, address, monkeypatch):
    with running(retry_after=0.6, faults={"429": 1.0}) as busy:
        monkeypatch.setenv("OPENAI_BASE_URL", busy)
        begin = time.monotonic()
        with pytest.raises(SenseiError, match="failed: found 429"):
            list(asking(tmp_path, requests={"attempts": 3, "longest_wait": 0.0}).replies(draw(write_frames(tmp_path), 1)))
        assert time.monotonic() - begin >= 2 * 0.6
        assert counted(busy)["requests"] == {"429": 3}


def test_a_proxy_that_is_not_there_is_named(tmp_path, address, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://192.0.2.1/v1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    with pytest.raises(SenseiError, match=r"failed: found no connection \(.*ConnectError\); check OPENAI_BASE_URL, HTTP_PROXY"):
        list(asking(tmp_path, requests={"attempts": 2}).replies(draw(write_frames(tmp_path), 3)))
    assert asking(tmp_path).ledger.spent(MODEL) == 0, "what was not sent is not booked"


def test_a_certificate_that_is_not_trusted_stops_at_once(tmp_path, address, monkeypatch):
    with https_server(tmp_path) as url:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{url}/v1")
        with pytest.raises(SenseiError, match="shows a certificate that is not trusted\n-> check OPENAI_BASE_URL"):
            list(asking(tmp_path).replies(draw(write_frames(tmp_path), 3)))


@pytest.mark.parametrize("page", [Reply(200, HTML), Reply(404, HTML), Reply(405, b"")])
def test_an_address_without_v1_is_named(tmp_path, address, monkeypatch, page):
    with hostile(page) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.address.removesuffix("/v1"))
        with pytest.raises(SenseiError, match=rf"no chat completions at .*\n-> export OPENAI_BASE_URL={server.address}: /v1 is missing"):
            list(asking(tmp_path).replies(draw(write_frames(tmp_path), 3)))
