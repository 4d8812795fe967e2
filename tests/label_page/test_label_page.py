"""A person labels pairs of a real study: in a real browser with keys, through a killed server, up to the audit of the labels."""

import json
import re
import resource
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.annotating import options
from fakes.browser import BROWSER, Browser
from fakes.labelled_study import ENVIRONMENT, PERSON, begin, label
from helpers import environment, run_python

from sensei.annotators.journal import Entry, open_journal, read_journal
from sensei.annotators.replayed import read_label_file
from sensei.core import locks
from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.label_page.server import Server, kept_key
from sensei.label_page.session import Questions, find, opened
from sensei.preferences.labels import oracle_labels
from sensei.preferences.pair import Label
from sensei.preferences.tables import read_labels, read_pairs
from sensei.study.layout import Layout
from sensei.study.load import load_study, read_study
from sensei.study.models.study import Study
from sensei.study.plan import plan

KEYS = {Label.FIRST: "ArrowLeft", Label.SECOND: "ArrowRight", Label.TIE: "e", Label.UNKNOWN: "u"}
SHOWN = "document.body?.dataset.question"


@pytest.fixture(scope="module")
def begun(tmp_path_factory) -> tuple[Study, Layout]:
    """The study up to its pairs; tests that answer do so as other people."""
    return begin(tmp_path_factory.mktemp("labelled"))


@pytest.fixture
def study(begun) -> Iterator[tuple[Study, Layout]]:
    """The study, of which nobody has answered anything yet."""
    yield begun
    journal_of(begun[1]).unlink(missing_ok=True)
    shutil.rmtree(begun[1].labels(ENVIRONMENT, PERSON).folder, ignore_errors=True)


def journal_of(files: Layout) -> Path:
    return files.labels(ENVIRONMENT, PERSON).journal


def questions_of(study: tuple[Study, Layout]) -> Questions:
    return find(study[0], study[1].study, None, None, 1)


def truths(asked: Questions, files: Layout) -> list[Label]:
    """What the oracle would answer to the questions as they are shown."""
    table = read_pairs(files.pairs(ENVIRONMENT).pairs)
    known = oracle_labels(table, asked.study.settings[ENVIRONMENT].environment)
    pairs = [asked.asked[key] for key in asked.shown]
    return [Label(known[pair.pair]).swapped if pair.swapped else Label(known[pair.pair]) for pair in pairs]


def answer_all(asked: Questions, given: list[Label]) -> None:
    """Answer as the page does, without one."""
    with opened(asked) as session:
        for number, answer in enumerate(given):
            session.answer(number, answer.name, 1.5, False)


# What is asked ------------------------------------------------------------------------------------------------------


def test_what_nobody_has_answered_stops_the_shard_with_the_command_that_helps(study):
    _, files = study
    words = ["annotate", "--study", files.study, "--environment", ENVIRONMENT, "--annotator", PERSON, "--shard", "0"]
    ended = run_python("-m", "sensei", *words, cwd=files.root.parent.parent)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr
    said = re.search(r"Error: person has not answered (\d+) of the (\d+) questions of this shard.*\n-> .*: python -m (.*)", ended.stderr)
    assert int(said[1]) == int(said[2]) > 0 and not files.labels(ENVIRONMENT, PERSON).shard(0).exists()
    exported = files.root / "none.csv"
    assert run_python("-m", *said[3].split(), "--export", exported, cwd=files.root.parent.parent).returncode == 0
    assert read_label_file(exported) == {}


def test_pairs_come_in_the_order_that_was_drawn_and_some_in_both(study):
    asked = questions_of(study)
    pairs = [asked.asked[key] for key in asked.shown]
    assert len({pair.pair for pair in pairs}) > 8 and {pair.swapped for pair in pairs} == {True, False}
    twice = [pair for pair in pairs if not pair.swapped and any(other.swapped and other.pair == pair.pair for other in pairs)]
    assert 0 < len(twice) < 12
    assert [pair.pair for pair in pairs] != sorted(pair.pair for pair in pairs) and asked.shown == questions_of(study).shown
    with opened(asked) as session:
        said = session.question(0)
    assert "swapped" not in said and "pair" not in said and said["unseen"] in said["words"] and said["unseen"].endswith(".")


def test_labels_go_through_merge_and_audit_as_those_of_others(study):
    resolved, files = study
    asked = questions_of(study)
    answer_all(asked, given := truths(asked, files))
    label(resolved, files, PERSON)
    card, table = read_json(files.labels(ENVIRONMENT, PERSON).card), read_labels(files.labels(ENVIRONMENT, PERSON).labels)
    assert card["errors"] == 0 and len(set(given)) > 2 and (table["label"] == table["oracle"]).all()
    assert card["oracle"]["accuracy"]["share"] == card["oracle"]["kappa"] == card["swap_consistency"]["share"] == 1
    assert card["swap_consistency"]["count"] > 0 and card["order_bias"]["count"] > 0
    exported = files.root / "own.csv"
    assert asked.export(exported) == 12
    assert read_label_file(exported) == {pair: Label(code) for pair, code in zip(table["pair"], table["label"], strict=True)}


def test_a_person_may_be_asked_about_the_first_pairs_alone(study):
    resolved, files = study
    few = resolved.annotator_settings | {PERSON: options("person", number=5)}
    resolved = resolved.model_copy(update={"annotator_settings": few})
    asked = questions_of((resolved, files))
    assert {pair.pair for pair in asked.asked.values()} <= set(range(5))
    rows = {row.stage: row for row in plan(resolved, files, look=False).rows}
    assert rows["annotate"].labels == 16 + 6  # of the oracle; of the person, 1.3 x 5 rounded
    answer_all(asked, [Label.FIRST] * len(asked.shown))
    label(resolved, files, PERSON)
    card, table = read_json(files.labels(ENVIRONMENT, PERSON).card), read_labels(files.labels(ENVIRONMENT, PERSON).labels)
    assert card["errors"] == 7 and table["label"].notna().tolist() == [True] * 5 + [False] * 7


def test_a_study_without_a_person_says_so(study):
    resolved, files = study
    with pytest.raises(SenseiError, match="nobody of these is a person .*found annotator oracle"):
        find(resolved, files.study, None, "oracle", 1)
    with pytest.raises(SenseiError, match="no annotator 'nobody' in this study"):
        find(resolved, files.study, None, "nobody", 1)
    with pytest.raises(SenseiError, match="people is something else in the folder of results"):
        load_study(resolved.model_dump(mode="json") | {"study": "people"}, "the test")


# The journal --------------------------------------------------------------------------------------------------------


def entry(number: int, answer: Label = Label.TIE, corrects: bool = False) -> Entry:
    return Entry(f"{number}", number, False, None, answer, 1.0, corrects, "2026-01-01T00:00:00+00:00")


def test_a_journal_keeps_what_was_whole_and_names_what_is_damaged(tmp_path):
    path = tmp_path / "people" / "journal.jsonl"
    with open_journal(path) as journal:
        for each in (entry(0), entry(1), entry(0, Label.FIRST, corrects=True)):
            journal.add(each)
    whole = path.read_bytes()
    path.write_bytes(whole + entry(2).line()[:-5])
    assert {key: known.answer for key, known in read_journal(path).items()} == {"0": Label.FIRST, "1": Label.TIE}
    with open_journal(path) as journal:
        journal.add(entry(3))
    assert path.read_bytes() == whole + entry(3).line()
    for damage, said in ((whole.replace(b'"TIE"', b'"MAYBE"', 1), "MAYBE"), (b"[" * 100_000 + b"\n" + whole, "recursion")):
        path.write_bytes(damage + entry(3).line())
        with pytest.raises(SenseiError, match=f"{path}, line 1, is damaged.*{said}"):
            read_journal(path)


def test_a_full_disk_leaves_no_half_of_an_answer(tmp_path):
    path = tmp_path / "journal.jsonl"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with open_journal(path) as journal:
        journal.add(entry(0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 10, before[1]))
        try:
            with pytest.raises(OSError):
                journal.add(entry(1))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert path.read_bytes() == entry(0).line() and "1" not in journal.answers
        journal.add(entry(2))
    assert path.read_bytes() == entry(0).line() + entry(2).line()


def replaced(path: Path) -> None:
    """As an editor saves a file."""
    copy = path.with_suffix(".copy")
    shutil.copy(path, copy)
    copy.replace(path)


@pytest.mark.parametrize("lost", [Path.unlink, lambda path: path.rename(path.with_suffix(".old")), replaced])
def test_an_answer_that_nobody_would_find_is_refused(tmp_path, lost):
    path = tmp_path / "journal.jsonl"
    with open_journal(path) as journal:
        journal.add(entry(0))
        lost(path)
        with pytest.raises(SenseiError, match=f"{path} is no longer the file that this page opened\n-> put it back"):
            journal.add(entry(1))
        assert "1" not in journal.answers


def test_one_page_at_a_time_takes_answers(study, monkeypatch):
    monkeypatch.setattr(locks, "PATIENCE", 0.1)
    asked = questions_of(study)
    with opened(asked), pytest.raises(SenseiError, match=r"labelling into .*person\.jsonl is under way: process"), opened(asked):
        pass


# Over HTTP ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def served(study) -> Iterator[tuple[Server, Path]]:
    """The page of one person, and the journal."""
    with opened(questions_of(study)) as session, Server(session, 0) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.02])
        thread.start()
        yield server, journal_of(study[1])
        server.shutdown()
        thread.join()


def status(server: Server, path: str, body: object = None, **headers: str) -> tuple[int, bytes]:
    """What a request gets."""
    data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    about = {"Content-Type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        with urllib.request.urlopen(urllib.request.Request(server.address + path, data, about), timeout=20) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def answered(number: int = 0, answer: str = "FIRST", corrects: object = False, seconds: object = 2.0) -> dict[str, object]:
    return {"question": number, "answer": answer, "seconds": seconds, "corrects": corrects}


def test_a_second_answer_is_refused_unless_it_corrects(served):
    server, journal = served
    assert status(server, "answer", answered(corrects=True))[0] == 409
    assert status(server, "answer", answered())[0] == 200
    kept = journal.read_bytes()
    for again in (answered(), answered(answer="SECOND")):
        code, said = status(server, "answer", again)
        assert code == 409 and b"has an answer already" in said and journal.read_bytes() == kept
    assert status(server, "answer", answered(answer="TIE", corrects=True))[0] == 200
    assert [json.loads(line)["answer"] for line in journal.read_text().splitlines()] == ["FIRST", "TIE"]
    assert json.loads(status(server, "state")[1])["answered"] == 1


def test_what_comes_from_elsewhere_is_refused(served):
    server, journal = served
    assert server.server_address[0] == "127.0.0.1"
    for headers in (
        {"Host": "evil.example"},
        {"Host": f"evil.example:{server.server_port}"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
    ):
        assert status(server, "answer", answered(), **headers)[0] == 403, headers
        assert status(server, "state", **headers)[0] == 403, headers
    assert status(server, "state", Host="localhost:9999")[0] == 200  # through a tunnel
    link = {"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "navigate"}
    assert (status(server, "", **link)[0], status(server, "answer", answered(), **link)[0]) == (200, 403)
    assert journal.read_bytes() == b""
    others = {one[4][0] for one in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)} - {"127.0.0.1"}
    for address in others:
        with socket.socket() as probe, pytest.raises(OSError):
            probe.connect((address, server.server_port))


def test_who_is_logged_in_to_the_same_machine_but_was_not_told_the_address_sees_and_answers_nothing(served, study):
    server, journal = served
    files = study[1].labels(ENVIRONMENT, PERSON)
    key = files.page_key
    assert key.stat().st_mode & 0o777 == 0o600 and server.address.endswith(f"/{key.read_text()}/")
    whole = server.address.removesuffix(f"/{server.key}/")
    for wrong in ("", "/", "/no", f"/{server.key[:-1]}", f"/{server.key}x", "/%C3%A9"):
        for path in ("/", "/state", "/labels.csv", "/question/0", "/picture/0/first.png", "/answer"):
            body = json.dumps(answered()).encode() if path == "/answer" else None
            asked = urllib.request.Request(f"{whole}{wrong}{path}", body, {"Content-Type": "application/json"})
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(asked, timeout=20)
    assert journal.read_bytes() == b"" and status(server, "state")[0] == 200
    assert kept_key(key) == server.key
    key.chmod(0o644)
    key.write_text("torn")
    assert kept_key(key) not in (server.key, "torn") and key.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    "body, headers",
    [
        (answered(), {"Content_Type": "text/plain"}),
        (b"no json", {}),
        (b"[]", {}),
        (b" " * 20_000, {}),
        (answered(number=999), {}),
        (answered(number=-1), {}),
        (answered(number=1.7), {}),
        (answered(number=float("inf")), {}),
        (answered(number="0"), {}),
        (b"[" * 9000, {}),
        (answered(answer="MAYBE"), {}),
        (answered(corrects="yes"), {}),
        (answered(seconds=-1), {}),
        (answered(seconds="long"), {}),
    ],
)
def test_what_is_no_answer_is_refused_in_words(served, body, headers):
    server, journal = served
    code, said = status(server, "answer", body, **headers)
    assert code == 400 and json.loads(said)["error"] and journal.read_bytes() == b""


def test_what_is_not_there_is_not_found(served):
    server, _ = served
    assert status(server, "../study.yaml")[0] == status(server, "nothing")[0] == status(server, "nothing", {})[0] == 404
    assert status(server, "picture/0/first.png")[1].startswith(b"\x89PNG")


def test_a_port_that_is_taken_is_named(served, study):
    server, _ = served
    with pytest.raises(SenseiError, match=f"port {server.server_port} of this machine cannot be had"):
        Server(server.session, server.server_port)


# In a browser -------------------------------------------------------------------------------------------------------


def serve(files: Layout, port: int = 0) -> tuple[subprocess.Popen, str]:
    """The page as its command serves it, and its address."""
    command = [sys.executable, "-m", "sensei", "label-page", "--study", str(files.study), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment(), cwd=files.root.parent.parent)
    said = server.stdout.readline() + server.stdout.readline()
    return server, re.search(r"http://127\.0\.0\.1:\d+/[\w-]{22}/", said)[0]


def press(browser: Browser, key: str) -> None:
    """Press a key that leads to another question, and wait for it."""
    before = browser.run(SHOWN)
    browser.press(key)
    browser.wait(f"{SHOWN} && {SHOWN} !== '{before}'")


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="no browser on this machine")
def test_a_person_labels_with_keys_through_a_crash_and_up_to_the_audit(study, tmp_path):
    resolved, files = study
    asked, journal = questions_of(study), journal_of(files)
    given = truths(asked, files)
    server, address = serve(files)
    try:
        with Browser(tmp_path / "browser") as browser:
            browser.open(address)
            browser.wait(f"{SHOWN} === '0'")
            for answer in given[:4]:
                press(browser, KEYS[answer])
            server.kill()
            server.wait()
            assert len(read_journal(journal)) == 4
            browser.press(KEYS[given[4]])
            browser.wait("document.getElementById('note').textContent.startsWith('Not kept')")
            server, _ = serve(files, urllib.parse.urlsplit(address).port)
            press(browser, KEYS[given[4]])
            assert len(read_journal(journal)) == 5 and browser.run(SHOWN) == "5"
            assert browser.run("document.getElementById('count').textContent").startswith(f"5 of {len(given)} ")
            again = json.dumps(answered(2))
            sent = f"{{method: 'POST', headers: {{'Content-Type': 'application/json'}}, body: '{again}'}}"
            assert browser.run(f"fetch('answer', {sent}).then(reply => reply.status)") == 409
            press(browser, "Backspace")
            assert browser.run("document.querySelector('.given').dataset.answer") == given[4].name
            other = Label.TIE if given[4] != Label.TIE else Label.FIRST
            press(browser, KEYS[other])
            browser.open(address)  # as after closing it
            browser.wait(f"{SHOWN} === '5'")
            for answer in given[5:]:
                press(browser, KEYS[answer])
            assert "All questions are answered" in browser.wait("document.getElementById('note').textContent")
            for width in (1100, 390):
                browser.resize(width, 850)
                assert browser.run("document.documentElement.scrollWidth <= document.documentElement.clientWidth")
    finally:
        server.send_signal(signal.SIGINT)
        ended = server.communicate(timeout=30)[0]
    assert server.returncode == 0 and f"{len(given)} of {len(given)} questions" in ended
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [line["corrects"] for line in lines] == [False] * 5 + [True] + [False] * (len(given) - 5)
    given[4] = other
    assert [read_journal(journal)[key].answer for key in asked.shown] == given
    label(resolved, files, PERSON)
    made = files.labels(ENVIRONMENT, PERSON)
    assert made.verdict.exists() and read_json(made.card)["errors"] == 0
    with opened(asked) as session:
        session.answer(4, "UNKNOWN", 1.0, True)
    before = made.shard(0).read_bytes() + made.shard(1).read_bytes()
    label(read_study(files.study), files, PERSON)
    assert made.shard(0).read_bytes() + made.shard(1).read_bytes() != before
