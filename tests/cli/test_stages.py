"""`python -m sensei`: help for every stage, mistakes in one to three lines, SIGTERM ends a stage cleanly, manifests on success."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import typer
from helpers import environment, run_python

from sensei.__main__ import app
from sensei.study.load import read_study
from sensei.study.schema import json_schema

STAGES = ["study", "explore", "learn", "collect", "pairs", "caption-clip", "annotate", "labels", "trust", "distil"]
STAGES += ["tabulate", "figure", "tables", "report", "published", "schema"]


def test_help_lists_every_stage_and_imports_nothing_heavy(tmp_path):
    code = "import sys, sensei.__main__; print([name for name in ('torch', 'matplotlib', 'pandas', 'gymnasium') if name in sys.modules])"
    assert run_python("-c", code, cwd=tmp_path).stdout.strip() == "[]"
    shown = run_python("-m", "sensei", "--help", cwd=tmp_path).stdout
    assert [stage for stage in STAGES if not re.search(rf"^  {stage} ", shown, re.MULTILINE)] == []


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_of_every_stage_is_explained(stage):
    command = typer.main.get_command(app).commands[stage]
    assert command.help
    assert [option.name for option in command.params if not option.help] == []


def fails_in_three_lines(result: subprocess.CompletedProcess, *words: str) -> None:
    message = [line for line in result.stderr.splitlines() if not re.match(r"\d\d:\d\d:\d\d ", line)]
    assert result.returncode != 0
    assert 1 <= len(message) <= 3 and "Traceback" not in result.stderr, result.stderr
    assert all(word in result.stderr for word in words), result.stderr


def test_a_study_is_resolved_and_has_a_manifest(write_study, tmp_path):
    output = tmp_path / "results" / "study.yaml"
    result = run_python("-m", "sensei", "study", write_study(), output, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert read_study(output).study == "smoke"
    assert json.loads((tmp_path / "results" / "study.yaml.manifest.json").read_text())["stage"] == "study"


def test_a_mistake_in_a_study_writes_nothing(write_study, tmp_path):
    path = write_study({"training": {"workers": 0}})
    fails_in_three_lines(run_python("-m", "sensei", "study", path, "out/study.yaml", cwd=tmp_path), "training.workers", str(path))
    assert not (tmp_path / "out").exists()


def test_what_is_not_in_the_study_is_refused(write_study, tmp_path):
    run_python("-m", "sensei", "study", write_study(), "resolved.yaml", cwd=tmp_path)
    common = ["--study", "resolved.yaml", "--seed", "0", "--folder", "run"]
    for method, environment_name, words in (
        ("sensay", "minihack_keyroom_s5", ["sensay", "plan2explore"]),
        ("plan2explore", "minihack", ["minihack", "minihack_keyroom_s5"]),
        ("sensei", "minihack_keyroom_s5", ["--reward"]),
    ):
        command = ["-m", "sensei", "explore", "--method", method, "--environment", environment_name, *common]
        fails_in_three_lines(run_python(*command, cwd=tmp_path), *words)
    command = ["-m", "sensei", "learn", "--method", "sensei", "--environment", "minihack_keyroom_s5", *common]
    fails_in_three_lines(run_python(*command, "--task", "keyroom_s5", cwd=tmp_path), "--explored")
    fails_in_three_lines(run_python(*command, "--task", "escape", cwd=tmp_path), "no task 'escape'", "keyroom_s5")
    assert not (tmp_path / "run").exists()


def test_missing_inputs_are_named(write_study, tmp_path):
    fails_in_three_lines(run_python("-m", "sensei", "tabulate", "--study", "none.yaml", "--output", "x.parquet", cwd=tmp_path), "none.yaml")
    run_python("-m", "sensei", "study", write_study(), "resolved.yaml", cwd=tmp_path)
    study = ["--study", "resolved.yaml", "--environment", "minihack_keyroom_s5"]
    command = ["labels", *study, "--shard", "shard0.jsonl", "--pairs", "p.parquet", "--labels", "l.parquet", "--card", "c.json"]
    fails_in_three_lines(run_python("-m", "sensei", *command, cwd=tmp_path), "shard0.jsonl")


def test_labels_beyond_the_limits_stop_the_stage(write_study, tmp_path):
    run_python("-m", "sensei", "study", write_study({"labels": {"largest_order_bias": 0.5}}), "resolved.yaml", cwd=tmp_path)
    bias = {"share": 0.96, "low": 0.95, "high": 0.97, "count": 86704}
    card = {"shares": {"unknown": 0.13}, "order_bias": bias, "swap_consistency": None, "oracle": None}
    (tmp_path / "card.json").write_text(json.dumps(card))
    study = ["--study", "resolved.yaml", "--environment", "minihack_keyroom_s5", "--annotator", "oracle"]
    command = ["-m", "sensei", "trust", *study, "--card", "card.json", "--verdict", "trust.json"]
    fails_in_three_lines(run_python(*command, cwd=tmp_path), "not to be trusted", "96.0%", "largest_order_bias", "order: both")
    assert not (tmp_path / "trust.json").exists()
    (tmp_path / "card.json").write_text(json.dumps(card | {"order_bias": bias | {"share": 0.5, "low": 0.49, "high": 0.51}}))
    assert run_python(*command, cwd=tmp_path).returncode == 0
    assert "largest_order_bias" in json.loads((tmp_path / "trust.json").read_text())


def test_only_an_annotator_of_its_kind_is_trained(write_study, tmp_path):
    run_python("-m", "sensei", "study", write_study(), "resolved.yaml", cwd=tmp_path)
    command = ["caption-clip", "--study", "resolved.yaml", "--environment", "minihack_keyroom_s5", "--annotator", "oracle"]
    result = run_python("-m", "sensei", *command, "--pairs", "p", "--frames", "f", "--folder", "m", cwd=tmp_path)
    fails_in_three_lines(result, "annotator oracle is not trained", "kind oracle")


def test_a_missing_run_is_named(write_study, tmp_path):
    run_python("-m", "sensei", "study", write_study(), "results/smoke/study.yaml", cwd=tmp_path)
    result = run_python(
        "-m", "sensei", "tabulate", "--study", "results/smoke/study.yaml", "--output", "results/smoke/scores.parquet", cwd=tmp_path
    )
    assert result.returncode == 1 and "Traceback" not in result.stderr
    assert "minihack_keyroom_s5/explore/sensei/seed0" in result.stderr
    assert not (tmp_path / "results/smoke/scores.parquet").exists()


def test_schema_is_written_where_asked(tmp_path):
    assert run_python("-m", "sensei", "schema", "schema.json", cwd=tmp_path).returncode == 0
    assert (tmp_path / "schema.json").read_text() == json_schema()


STAGE_THAT_WAITS = """
import os, signal, sys, time
from pathlib import Path
from sensei.stage import stage
output = Path("output.txt")
with stage("wait", inputs=[], outputs=[output], threads=2):
    try:
        print(os.environ["OMP_NUM_THREADS"], flush=True)
        time.sleep(60)
        output.write_text("whole")
    finally:
        time.sleep(0.5)
        Path("cleaned").touch()
"""


def test_sigterm_runs_the_clean_up_even_if_it_comes_twice(tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STAGE_THAT_WAITS], cwd=tmp_path, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "2\n"
    process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in errors
    assert (tmp_path / "cleaned").exists()
    assert not list(tmp_path.glob("*.manifest.json"))
