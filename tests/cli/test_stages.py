"""`python -m sensei`: help for every stage, mistakes in one to three lines, SIGTERM ends a stage cleanly, manifests on success."""

import json
import re
import signal
import subprocess
import sys
import time

import pytest
import typer
from fakes.recorded import record
from helpers import environment, run_python

from sensei import __version__
from sensei.cli.main import app
from sensei.core.files import write_json
from sensei.study.layout import Layout
from sensei.study.load import read_study
from sensei.study.schema import json_schema
from sensei.study.stages import STAGES

COMMANDS = ["study", *STAGES, "run", "schema", "preflight", "plan", "export", "unpack", "label-page"]


def test_help_lists_every_stage_and_imports_nothing_heavy(tmp_path):
    heavy = ("torch", "matplotlib", "pandas", "psutil", "minihack", "mujoco", "openai", "sensei.bench.update")
    code = f"import sys, sensei.cli.main; print([name for name in {heavy} if name in sys.modules])"
    assert run_python("-c", code, cwd=tmp_path).stdout.strip() == "[]"
    shown = run_python("-m", "sensei", "--help", cwd=tmp_path).stdout
    assert [command for command in COMMANDS if not re.search(rf"^  {command} ", shown, re.MULTILINE)] == []


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_of_every_command_is_explained(name):
    command = typer.main.get_command(app).commands[name]
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


def test_the_version_is_said(tmp_path):
    assert run_python("-m", "sensei", "--version", cwd=tmp_path).stdout == f"sensei {__version__}\n"


@pytest.fixture
def resolved(write_study, tmp_path) -> list[str]:
    """`--study` with a resolved smoke study in its folder of results."""
    path = tmp_path / "results" / "smoke" / "study.yaml"
    assert run_python("-m", "sensei", "study", write_study(), path, cwd=tmp_path).returncode == 0
    return ["--study", "results/smoke/study.yaml"]


@pytest.mark.parametrize(
    "stage, options, words",
    [
        ("explore", {"method": "sensay", "seed": 0}, ["sensay", "plan2explore"]),
        ("explore", {"environment": "minihack", "method": "plan2explore", "seed": 0}, ["minihack", "minihack_keyroom_s5"]),
        ("explore", {"method": "sensei", "seed": 0}, ["reward.safetensors", "`--reward`"]),
        ("explore", {"method": "plan2explore", "seed": 0, "reward": "r.safetensors"}, ["takes no --reward"]),
        ("learn", {"task": "keyroom_s5", "method": "sensei", "seed": 0}, ["agent.pt", "`--explored`"]),
        ("learn", {"task": "keyroom_s5", "method": "dreamerv3", "seed": 0, "explored": "agent.pt"}, ["takes no --explored"]),
        ("learn", {"task": "escape", "method": "sensei", "seed": 0}, ["no task 'escape'", "keyroom_s5"]),
        ("merge", {"annotator": "oracle"}, ["pairs.parquet", "`snakemake` makes it"]),
        ("caption-clip", {"annotator": "gpt-9"}, ["no annotator 'gpt-9'"]),
        ("annotate", {"annotator": "oracle"}, ["--shard"]),
        ("figure", {"environment": None, "figure": "figure_99"}, ["figure_99", "interactions"]),
    ],
)
def test_what_is_not_there_is_named_with_what_helps(resolved, stage, options, words, tmp_path):
    options = {"environment": "minihack_keyroom_s5", **options}
    given = [word for name, value in options.items() if value is not None for word in (f"--{name}", str(value))]
    before = sorted(tmp_path.rglob("*"))
    fails_in_three_lines(run_python("-m", "sensei", stage, *resolved, *given, cwd=tmp_path), *words)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_study_that_is_not_there_is_named(tmp_path):
    fails_in_three_lines(run_python("-m", "sensei", "tabulate", "--study", "none.yaml", cwd=tmp_path), "none.yaml")


def test_only_an_annotator_that_is_trained_is_trained(resolved, tmp_path):
    pairs = Layout(tmp_path / "results" / "smoke").pairs("minihack_keyroom_s5")
    for path in (pairs.pairs, pairs.frames):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    record("pairs", pairs.pairs, pairs.frames)
    command = ["caption-clip", *resolved, "--environment", "minihack_keyroom_s5", "--annotator", "oracle"]
    result = run_python("-m", "sensei", *command, cwd=tmp_path)
    fails_in_three_lines(result, "annotator oracle is not trained", "kind oracle")


def test_labels_beyond_the_limits_stop_the_stage(write_study, tmp_path):
    files = Layout(tmp_path / "results" / "smoke")
    labels = files.labels("minihack_keyroom_s5", "oracle")
    run_python("-m", "sensei", "study", write_study({"labels": {"largest_order_bias": 0.5}}), files.study, cwd=tmp_path)
    bias = {"share": 0.96, "low": 0.95, "high": 0.97, "count": 86704}
    card = {"shares": {"unknown": 0.13}, "order_bias": bias, "swap_consistency": None, "oracle": None}
    write_json(labels.card, card)
    record("merge", labels.card)
    command = ["-m", "sensei", "trust", "--study", files.study, "--environment", "minihack_keyroom_s5", "--annotator", "oracle"]
    fails_in_three_lines(run_python(*command, cwd=tmp_path), "not to be trusted", "96.0%", "largest_order_bias", "order: both")
    assert not labels.verdict.exists()
    write_json(labels.card, card | {"order_bias": bias | {"share": 0.5, "low": 0.49, "high": 0.51}})
    record("merge", labels.card)
    assert run_python(*command, cwd=tmp_path).returncode == 0
    assert "largest_order_bias" in json.loads(labels.verdict.read_text())


def test_a_missing_run_is_named(write_study, tmp_path):
    run_python("-m", "sensei", "study", write_study(), "results/smoke/study.yaml", cwd=tmp_path)
    result = run_python("-m", "sensei", "tabulate", "--study", "results/smoke/study.yaml", cwd=tmp_path)
    assert result.returncode == 2 and "Traceback" not in result.stderr
    assert "minihack_keyroom_s5/explore/sensei/seed0" in result.stderr
    assert not (tmp_path / "results/smoke/scores.parquet").exists()


def test_schema_is_written_where_asked(tmp_path):
    assert run_python("-m", "sensei", "schema", "schema.json", cwd=tmp_path).returncode == 0
    assert (tmp_path / "schema.json").read_text() == json_schema()


STAGE_THAT_WAITS = """
import os, signal, sys, time
from pathlib import Path
from sensei.core.process import stage
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
