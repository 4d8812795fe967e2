"""How far a study is, from files that runs leave: under way, stopped, failed, done."""

import json

import pytest
from helpers import run_python

from sensei.core.locks import held
from sensei.core.provenance import write_manifests
from sensei.core.yaml import read_yaml
from sensei.study.folder import record_study
from sensei.study.graph import work
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study
from sensei.study.status import status, told

RUN = "minihack_keyroom_s5", "plan2explore", 0


@pytest.fixture
def study():
    return load_study(CONFIG_FOLDER / "smoke.yaml")


@pytest.fixture
def files(tmp_path):
    return Layout(tmp_path / "results" / "smoke")


def under_way(files):
    """A run that has begun: metrics, of which the last line is being written, and rates."""
    run = files.explore(*RUN)
    run.checkpoint.mkdir(parents=True)
    records = [{"step": step, "events/key_picked_up": step / 100} for step in (100, 200)]
    run.metrics_so_far.write_text("".join(json.dumps(record) + "\n" for record in records) + '{"step": 3')
    run.timing.write_text('{"step": 200, "steps_per_second": 8.0}\n')
    return run


def test_nothing_has_begun(study, files):
    found = status(study, files)
    assert found.jobs == [] and not found.done and {done for done, _ in found.stages.values()} == {0}
    assert found.stages["explore"] == (0, 4) and found.lines()[0].startswith("study smoke: 0 of 46 jobs done, about 0:0")
    assert " of work left (explore 0/4, " in found.lines()[0] and 60 < found.work_left < 600


def test_a_run_is_running_while_somebody_holds_it_and_else_stopped(study, files):
    run = under_way(files)
    with held(run.metrics.with_name(f".{run.metrics.name}.lock"), "the run"):
        (job,) = status(study, files).jobs
    assert (job.state, job.step, job.steps, job.seconds_left, job.counts) == ("running", 200, 600, 50.0, {"key_picked_up": 2.0})
    assert "200 of 600 steps, 8 a second, 0:00:50 left, key_picked_up 2; " in told(job)
    (job,) = status(study, files).jobs
    assert job.state == "stopped" and job.seconds_left is None


def test_a_job_that_failed_says_its_last_words(study, files):
    run = under_way(files)
    (run.folder / "explore.log").write_text("much\nbefore\nError: the disk is full\n-> make room\n")
    (job,) = status(study, files).jobs
    assert job.state == "failed" and job.said == ("before", "Error: the disk is full", "-> make room")
    assert told(job).endswith("explore.log\n    before\n    Error: the disk is full\n    -> make room")


def test_what_is_made_counts(study, files):
    run = files.explore(*RUN)
    for path in (run.metrics, run.events, run.agent, run.video):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert status(study, files).stages["explore"] == (1, 4)


def test_the_command_says_the_same_in_words_and_as_json(study, files, tmp_path):
    under_way(files)
    said = run_python("-m", "sensei", "status", "smoke", cwd=tmp_path)
    assert said.returncode == 0 and "explore minihack_keyroom_s5 plan2explore 0: stopped, 200 of 600 steps" in said.stdout, said.stderr
    found = json.loads(run_python("-m", "sensei", "status", "smoke", "--json", cwd=tmp_path).stdout)
    assert found["stages"]["explore"] == {"done": 0, "of": 4} and found["jobs"][0]["step"] == 200 and not found["done"]
    elsewhere = study.model_copy(update={"study": "elsewhere"})  # unpacked, or copied from a cluster: no file of config/ names it
    record_study(elsewhere, Layout(tmp_path / "results" / "elsewhere").study)
    (tmp_path / "elsewhere").mkdir()
    said = run_python("-m", "sensei", "status", "elsewhere", cwd=tmp_path)
    assert said.returncode == 0 and said.stdout.startswith("study elsewhere: 0 of 46 jobs done"), said.stderr


def test_a_seed_more_is_left_although_tables_and_figures_of_the_others_are_there(study, files):
    for one in work(study, files):
        outputs = list(one.stage.outputs(files, one.job).values())
        for path in outputs:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        if one.stage.name == "tabulate":
            write_manifests("tabulate", outputs, dict.fromkeys(one.reads(study, files), "0" * 64), {}, None, 0.0)
    assert status(study, files).done
    more = load_study(read_yaml(CONFIG_FOLDER / "smoke.yaml") | {"seeds": [0, 1]}, source="smoke.yaml")
    found = status(more, files)
    assert not found.done and found.stages["explore"] == (4, 8) and found.stages["tabulate"] == (0, 1) and found.stages["distil"][0] > 0
