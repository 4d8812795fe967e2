"""The smoke study for real: from NetHack to the report, killed in the middle, resumed, run again."""

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import psutil
import pytest
from fakes.audit import audited, manifest_inputs, modules_loaded, read_below
from helpers import ROOT, command, environment, planned, snakemake

from sensei.core.files import sha256
from sensei.core.provenance import NOT_CODE, closure
from sensei.study.layout import Layout
from sensei.study.load import load_study
from sensei.study.stage import Job, flat
from sensei.study.stages import STAGES

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SMOKE = ("--configfile", ROOT / "config" / "smoke.yaml")
RUN = "results/smoke/minihack_keyroom_s5/explore/plan2explore/seed0"


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory) -> tuple[Path, str]:
    """Folder and log of a workflow whose first training process was killed with SIGKILL after its first checkpoint."""
    folder = tmp_path_factory.mktemp("smoke")
    process = subprocess.Popen(
        command(f"{RUN}/agent.pt", "--cores", "1", *SMOKE, cwd=folder),
        cwd=folder,
        env=environment() | {"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
    )
    state = folder / RUN / "checkpoint" / "state.pt"
    deadline = time.monotonic() + 300
    while not state.exists():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[0]
        time.sleep(0.05)
    for child in psutil.Process(process.pid).children(recursive=True):
        if "explore" in child.cmdline() and "sensei" in child.cmdline():
            child.kill()
    output, _ = process.communicate(timeout=120)
    assert process.returncode != 0
    return folder, output


@pytest.fixture(scope="module")
def finished(interrupted) -> Path:
    """The same workflow, run again to its end on two cores."""
    folder, _ = interrupted
    result = snakemake("--cores", "2", *SMOKE, cwd=folder, timeout=800)
    assert result.returncode == 0, result.stdout + result.stderr
    return folder


def test_a_killed_job_leaves_no_output_but_its_checkpoint(interrupted):
    folder, output = interrupted
    assert "Error in rule explore" in output
    if (folder / RUN / "agent.pt").exists():
        pytest.fail("an output of the killed job was kept")
    assert (folder / RUN / "checkpoint" / "state.pt").exists()


def test_the_next_run_goes_on_from_the_checkpoint(finished):
    log = (finished / RUN / "explore.log").read_text()
    resumed = re.search(r"resumes at step (\d+)", log)
    assert (
        resumed and int(resumed[1]) >= load_study(ROOT / "config" / "smoke.yaml").settings["minihack_keyroom_s5"].training.checkpoint_every
    )
    steps = [json.loads(line)["step"] for line in (finished / RUN / "metrics.jsonl").read_text().splitlines()]
    assert steps == sorted(set(steps)), "lines were written twice"
    assert not (finished / RUN / "checkpoint").exists()


def test_figures_tables_videos_and_report_are_there(finished):
    results = finished / "results" / "smoke"
    study = load_study(ROOT / "config" / "smoke.yaml")
    for figure in study.figures:
        for suffix, magic in ((".pdf", b"%PDF"), (".png", b"\x89PNG"), (".csv", b"")):
            content = (results / "figures" / f"{figure}{suffix}").read_bytes()
            assert content.startswith(magic) and len(content) > 50
    assert len(list(results.rglob("video.mp4"))) == 2 * (len(study.explore) + len(study.learn))
    page = (results / "report.html").read_text()
    assert "SENSEI" in page and page.count("data:image/png") >= len(study.figures)
    assert 'src="http' not in page and 'href="http' not in page.replace('href="https://arxiv', "")


def test_scores_hold_every_run(finished):
    study = load_study(ROOT / "config" / "smoke.yaml")
    scores = pd.read_parquet(finished / "results/smoke/scores.parquet")
    explored, learned = scores[scores["task"] == "explore"], scores[scores["task"] != "explore"]
    assert set(explored["method"]) == set(study.explore) and set(learned["method"]) == set(study.learn)
    assert set(explored["seed"]) == set(learned["seed"]) == set(study.seeds)
    events = study.settings[study.environments[0]].environment.events
    assert set(events) <= set(explored["metric"])


def test_every_artefact_has_a_manifest_that_is_true(finished):
    results = finished / "results" / "smoke"
    artefacts = {
        path for suffix in ("parquet", "npz", "safetensors", "pt", "mp4", "png", "pdf", "html") for path in results.rglob(f"*.{suffix}")
    }
    artefacts = {path for path in artefacts if "episodes" not in path.parts}
    assert len(artefacts) > 30
    for path in artefacts:
        made = json.loads(Path(f"{path}.manifest.json").read_text())
        assert made["sha256"] == sha256(path), path
        for name, checksum in made["inputs"].items():
            source = ROOT / name if name.startswith("config/") else path.parent / name
            assert sha256(source) == checksum, f"{path}: {name}"
        assert str(finished) not in json.dumps(made)


def test_run_again_it_does_nothing(finished):
    assert planned(snakemake("-n", *SMOKE, cwd=finished)) == {}


def test_a_deleted_figure_is_drawn_again_alone_and_equal(finished):
    figures = finished / "results" / "smoke" / "figures"
    before = {path.name: (path.stat().st_mtime_ns, sha256(path)) for path in figures.glob("*.[pc]*") if not path.name.endswith(".json")}
    (figures / "interactions.png").unlink()
    result = snakemake("--cores", "2", *SMOKE, cwd=finished)
    assert result.returncode == 0, result.stdout + result.stderr
    after = {path.name: (path.stat().st_mtime_ns, sha256(path)) for path in figures.glob("*.[pc]*") if not path.name.endswith(".json")}
    assert {name for name in before if before[name][0] != after[name][0]} == {
        f"interactions{suffix}" for suffix in (".png", ".pdf", ".csv")
    }
    assert {name: value[1] for name, value in before.items()} == {name: value[1] for name, value in after.items()}


# Every stage once more, watched -----------------------------------------------------------------------------------

ROOM, DESK = {"environment": "minihack_keyroom_s5"}, {"environment": "robodesk"}
ONCE_MORE = [
    ("explore", ROOM | {"method": "sensei", "seed": "0"}),
    ("explore", DESK | {"method": "plan2explore", "seed": "0"}),
    ("collect", ROOM | {"seed": "0"}),
    ("pairs", ROOM),
    ("pairs", DESK),
    ("caption-clip", ROOM | {"annotator": "captioned_clip"}),
    ("annotate", ROOM | {"annotator": "captioned_clip", "shard": "1"}),
    ("annotate", DESK | {"annotator": "oracle_nearer", "shard": "0"}),
    ("merge", ROOM | {"annotator": "captioned_clip"}),
    ("trust", ROOM | {"annotator": "captioned_clip"}),
    ("distil", ROOM | {"annotator": "captioned_clip", "share": "0.1"}),
    ("learn", ROOM | {"task": "keyroom_s5", "method": "sensei", "seed": "0"}),
    ("learn", ROOM | {"task": "keyroom_s5", "method": "ppo", "seed": "0"}),
    ("learn", DESK | {"task": "open_drawer_medium", "method": "dreamerv3", "seed": "0"}),
    ("tabulate", {}),
    *(("figure", {"figure": figure}) for figure in load_study(ROOT / "config" / "smoke.yaml").figures),
    ("tables", {}),
    ("report", {}),
]


@pytest.fixture(scope="module")
def loaded_anyway(finished, tmp_path_factory) -> set[str]:
    """Modules that are imported whatever is done with the study; a figure is found by importing all of them."""
    settings, log = audited(tmp_path_factory.mktemp("plain"), environment())
    opening = (
        "import sensei.cli.main; from sensei.study.load import read_study; from sensei.study.slices import figures_of\n"
        "figures_of(read_study('results/smoke/study.yaml'))"
    )
    subprocess.run([sys.executable, "-c", opening], cwd=finished, env=settings, check=True)
    return modules_loaded(log)


@pytest.mark.parametrize("name, names", ONCE_MORE, ids=lambda value: value if isinstance(value, str) else "-".join(value.values()))
def test_what_a_stage_reads_is_what_its_rule_its_table_and_its_manifest_name_and_it_writes_the_same_again(
    finished, loaded_anyway, name, names, tmp_path
):
    copy = tmp_path / "results" / "smoke"
    shutil.copytree(finished / "results" / "smoke", copy)
    study, files, stage, job = load_study(ROOT / "config" / "smoke.yaml"), Layout(copy), STAGES[name], Job.of(names)
    outputs = stage.outputs(files, job)
    for path in outputs.values():
        path.unlink()
    settings, log = audited(tmp_path, environment())
    words = [word for axis, value in names.items() for word in (f"--{axis}", value)]
    command_line = [sys.executable, "-m", "sensei", name, "--study", "results/smoke/study.yaml", *words]
    done = subprocess.run(command_line, cwd=tmp_path, env=settings, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    read = read_below(log, copy, ROOT / "config")
    inputs, folders = set(flat(stage.inputs(study, files, job))), stage.folders(study, files, job)
    places = {output.parent for output in outputs.values()} | set(stage.kept(study, job, outputs))
    own = {path for path in read if path.parent in places - {path.parent for path in inputs}}
    within = {path for path in read if path.parent in folders}
    rest = {path for path in read - own - within if not path.name.endswith(".manifest.json")} - {files.study} - set(outputs.values())
    own_state = {path for path in rest for run in [outputs.get("agent")] if run is not None and path.is_relative_to(run.parent)}
    assert rest - own_state == inputs, (rest - own_state) ^ inputs
    used = {module for module in modules_loaded(log) - loaded_anyway if not module.startswith(NOT_CODE)}
    lost = used - set(closure(stage.code(study, job), stage.facts(study, job)))
    assert not lost, f"{name} uses code that its fingerprint leaves out: {sorted(lost)}"
    for output in outputs.values():
        named, named_folders = manifest_inputs(output, ROOT)
        assert named == inputs | {files.study}, output
        assert named_folders == folders
        assert sha256(output) == sha256(finished / output.relative_to(tmp_path)), f"{output.name} has other bytes than before"


@pytest.mark.parametrize(
    "victim, target",
    [
        ("minihack_keyroom_s5/labels/oracle/labels.parquet", "minihack_keyroom_s5/reward/oracle/reward.safetensors"),
        ("minihack_keyroom_s5/explore/sensei/seed0/agent.pt", "minihack_keyroom_s5/learn/keyroom_s5/sensei/seed0/agent.pt"),
        ("minihack_keyroom_s5/explore/plan2explore/seed0/episodes/worker00-000000.npz", "minihack_keyroom_s5/collect/seed0/index.parquet"),
        ("minihack_keyroom_s5/learn/keyroom_s5/ppo/seed0/metrics.jsonl", "scores.parquet"),
    ],
)
def test_a_damaged_file_is_named_and_nothing_half_made_counts(finished, victim, target, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(finished, copy)
    path, made = copy / "results" / "smoke" / victim, copy / "results" / "smoke" / target
    path.write_bytes(path.read_bytes()[:-40])
    made.unlink()
    result = snakemake(made.relative_to(copy), "--cores", "1", *SMOKE, cwd=copy)
    output = result.stdout + result.stderr
    assert result.returncode != 0
    assert path.name in output and "damaged" in output and "Traceback (most recent" not in output
    assert not made.exists()
