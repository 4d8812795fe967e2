"""The price before anything is sent, and what was paid in the end."""

import subprocess

import pytest
from fakes.asking import command, counted, write_study
from helpers import ROOT, environment

from sensei.annotators import audit
from sensei.annotators.ledger import Ledger

PRICES = {"input_per_million": 5.0, "output_per_million": 15.0}


def test_estimate_agrees_with_the_bill(tmp_path, address):
    files = write_study(tmp_path, 60, 20, prices=PRICES)
    estimate = command(files, "--estimate")
    said = subprocess.run(estimate, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True).stdout
    assert counted(address)["requests"] == {}, "nothing is sent"
    assert "pairs    60: 60 questions, of which the ledger answers 0" in said
    assert not files.ledger.exists()
    subprocess.run(command(files), cwd=ROOT, env=environment(), check=True, capture_output=True)
    ledger = Ledger(files.ledger)
    tokens = int(said.split("tokens")[1].split()[0])
    assert tokens == pytest.approx(audit.table(ledger)["input_tokens"].sum(), rel=0.1)
    again = subprocess.run(estimate, cwd=ROOT, env=environment(), check=True, capture_output=True, text=True).stdout
    assert "pairs    60: 60 questions, of which the ledger answers 60" in again
    assert "price    0.00 $" in again
