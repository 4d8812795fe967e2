"""The benchmark of the annotator behind the OpenAI API: what it reports, and that it asks a server of its own."""

import json

from typer.testing import CliRunner

from sensei.cli.main import app


def test_it_reports_pairs_a_second_and_the_clients_own_time(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")  # where nobody listens
    result = CliRunner().invoke(app, ["bench", "annotate", "--pairs", "200", "--json", str(tmp_path / "bench.json")])
    assert result.exit_code == 0
    measured = json.loads((tmp_path / "bench.json").read_text())
    for way in ("asked", "from_ledger"):
        assert measured[way].keys() == {"pairs_per_second", "client_ms_per_pair", "server_ms_per_pair"}
        assert measured[way]["pairs_per_second"] > 0
    assert measured["asked"]["server_ms_per_pair"] > 0, "the server was asked"
