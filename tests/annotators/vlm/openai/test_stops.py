"""Processes that are killed, stopped, or two on one ledger: what was answered is kept, and nothing is bought twice."""

import signal
import subprocess
import sys
import time

import pytest
from fakes.asking import BAD_REPLIES, BROKEN, command, counted, distinct, draw, shard_of, told, truth, write_frames, write_study
from helpers import ROOT, environment

from sensei.annotators import audit
from sensei.annotators.ledger import Ledger
from sensei.preferences.tables import read_replies


def kill_at(process: subprocess.Popen, address: str, bought: int) -> None:
    """SIGKILL once the server has answered so many questions."""
    while process.poll() is None and counted(address)["bought"] < bought:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()


@pytest.mark.slow
def test_two_processes_on_one_ledger_buy_nothing_twice(tmp_path, address):
    pairs = draw(write_frames(tmp_path, 40), 300)
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        "from fakes.asking import asking, draw\n"
        "from sensei.preferences.frames import Frames\n"
        "folder = Path(sys.argv[1])\n"
        "pairs = draw(Frames(folder / 'frames.npz'), 300)[:: int(sys.argv[2])]\n"
        "print(''.join(str(int(reply.answer)) for reply in asking(folder).replies(pairs)))\n"
    )
    importable = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    both = [
        subprocess.Popen([sys.executable, "-c", program, tmp_path, step], stdout=subprocess.PIPE, text=True, env=importable)
        for step in ("1", "-1")
    ]
    said = [process.communicate()[0].strip() for process in both]
    assert said[0] == said[1][::-1] == "".join(str(int(truth(pair))) for pair in pairs)
    count = counted(address)
    assert (count["bought"], count["repeated"]) == (distinct(pairs), 0)
    assert count["most_in_flight"] <= 16, "the limit holds for both together"


@pytest.mark.slow
def test_5000_pairs_end_with_5000_answers_through_ten_kills(tmp_path, address):
    """Nothing is bought twice but what was in flight at a kill."""
    told(address, BROKEN | BAD_REPLIES | {"bad_image": 0.01, "hang": 0.0005})
    requests = {"at_once": 32, "timeout": 10.0, "longest_wait": 0.5, "attempts": 12}
    files = write_study(tmp_path, 5000, 120, max_unreadable=1.0, requests=requests)
    for kill in range(10):
        process = subprocess.Popen(command(files), cwd=ROOT, env=environment(), stderr=subprocess.DEVNULL)
        kill_at(process, address, 450 * (kill + 1))
        assert process.returncode == -signal.SIGKILL, "it was killed in the middle"
    subprocess.run(command(files), cwd=ROOT, env=environment(), check=True, capture_output=True)
    replies = {reply.pair: reply for reply in read_replies(shard_of(files))}
    assert replies.keys() == set(range(5000))
    count, ledger = counted(address), Ledger(files.ledger)
    table = audit.table(ledger)
    assert 0 < sum(reply.error is not None for reply in replies.values()) == 5000 - len(table) < 200
    assert count["repeated"] <= 10 * 32
    assert count["repeated"] <= audit.open_claims(ledger)[2], "whatever may have been bought twice is on the books"
    assert audit.open_claims(ledger)[0] == 0
    assert audit.faults(ledger) == []


@pytest.mark.slow
def test_a_stop_signal_keeps_what_was_answered(tmp_path, address):
    files = write_study(tmp_path, 2000, 80)
    process = subprocess.Popen(command(files), cwd=ROOT, env=environment(), stderr=subprocess.PIPE, text=True)
    while counted(address)["bought"] < 100:
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    ledger = Ledger(files.ledger)
    assert audit.open_claims(ledger) == (0, 0.0, 0, 0.0), "what was in flight came back"
    assert len(audit.table(ledger)) == counted(address)["bought"] < 2000
