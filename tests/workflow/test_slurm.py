"""The slurm profile on a real SLURM: a study whose jobs are drained, cancelled, out of time, preempted and queued again.

One story, told once and looked at by every test. The environment waits at each step, so that there is time to disturb a run; and
runs save no state of their own accord (`checkpoint_every`), so whatever a job goes on from was saved because of a signal.
"""

import contextlib
import shlex
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
import pytest
import yaml
from fakes import slurm_local
from fakes.slurm_local import Cluster, submission, wait_until
from fakes.toys import SMALL
from helpers import ROOT, command, environment

from sensei.core.files import sha256
from sensei.core.yaml import read_yaml
from sensei.study.layout import Layout

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]
SEEDS = [0, 1]
STUDY = SMALL | {
    "study": "clustered",
    "seeds": SEEDS,
    "environments": ["toy_counting"],
    "explore": ["plan2explore"],
    "learn": ["dreamerv3"],
    "annotators": ["oracle"],
    "figures": ["interactions"],
    "training": SMALL["training"] | {"checkpoint_every": 100_000},
    "pairs": {"kind": "random", "number": 10, "seeds": SEEDS},
    "per_environment": {"toy_counting": {"environment": {"family": "fakes.slow_grid:SlowCounting"}}},
}
FILES = Layout("results/clustered")
PAIRS = FILES.pairs("toy_counting")
RUNS = [FILES.explore("toy_counting", "plan2explore", seed) for seed in SEEDS]


def written(folder: Path) -> Path:
    """The study, in `folder`."""
    path = folder / "study.yaml"
    path.write_text(yaml.safe_dump(STUDY))
    return path


@pytest.fixture(scope="module")
def importable() -> Iterator[None]:
    """The environment of these tests can be imported by every process that they start."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}).items():
            patch.setenv(name, value)
        yield


@pytest.fixture(scope="module")
def undisturbed(importable, tmp_path_factory) -> Path:
    """Folder of the study on this machine, without SLURM."""
    folder = tmp_path_factory.mktemp("undisturbed")
    local = command(PAIRS.pairs, "--cores", "1", "--configfile", written(folder), cwd=folder)
    subprocess.run(local, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=True)
    return folder


def resumed(run: Path) -> bool:
    """Whether a run has gone on from its state; Snakemake deletes the log before a job begins."""
    log = run / "explore.log"
    return log.exists() and "resumes at step" in log.read_text()


@dataclass
class Story:
    """What happened to the study.

    Attributes:
        waited: states of the jobs while their node was drained.
        states: job number -> state, when the first command had ended and when the second one had.
        saved_after: seconds from `scancel` to the state of the cancelled run.
        limits: time limits of the runs of the second command.
        preempted, requeued: numbers of the jobs that were.
    """

    folder: Path
    commands: list[subprocess.Popen] = field(default_factory=list)
    waited: list[str] = field(default_factory=list)
    outputs: list[tuple[int, str]] = field(default_factory=list)
    states: list[dict[int, str]] = field(default_factory=list)
    saved_after: float = 0.0
    limits: list[str] = field(default_factory=list)
    preempted: int = 0
    requeued: int = 0

    def submit(self, *words: str) -> None:
        """Start the command of docs/cluster.md."""
        words = submission(self.folder / "study.yaml", str(PAIRS.pairs), "--jobs", "2", *words)
        with (self.folder / f"command{len(self.outputs)}.log").open("w") as said:
            process = subprocess.Popen(words, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=said, stderr=subprocess.STDOUT)
        self.commands.append(process)

    def ended(self, slurm: Cluster) -> None:
        """Note how the last command ended."""
        code = self.commands[-1].wait(timeout=600)
        self.outputs.append((code, (self.folder / f"command{len(self.outputs)}.log").read_text()))
        self.states.append(slurm.jobs())

    def path_of_log(self, job: int) -> Path:
        """Where SLURM keeps what a job says, in a folder that is called after its wildcards."""
        return next((self.folder / ".snakemake" / "slurm").rglob(f"{job}.log"))


@pytest.fixture(scope="module")
def slurm(importable) -> Iterator[Cluster]:
    """A cluster of two cores."""
    if why := slurm_local.obstacle():
        pytest.skip(why)
    with slurm_local.cluster(cores=2) as slurm:
        yield slurm


@pytest.fixture(scope="module")
def story(slurm, tmp_path_factory) -> Iterator[Story]:
    """The study on the cluster, with every disturbance; its two runs are jobs 1 and 2, then 3 and 4."""
    story = Story(tmp_path_factory.mktemp("cluster"))
    written(story.folder)
    runs = [story.folder / run.folder for run in RUNS]
    with contextlib.ExitStack() as at_the_end:
        patch = at_the_end.enter_context(pytest.MonkeyPatch.context())
        at_the_end.callback(lambda: [command.kill() for command in story.commands])
        patch.setenv("SECONDS_PER_STEP", "0.4")
        slurm.control("update", f"NodeName={slurm.node}", "State=DRAIN", "Reason=test")
        story.submit("--retries", "0")
        wait_until(lambda: len(slurm.jobs()) == 2, 120, "two jobs")
        time.sleep(3)
        story.waited = list(slurm.jobs().values())
        slurm.control("update", f"NodeName={slurm.node}", "State=RESUME")
        started = time.monotonic()
        wait_until(lambda: all((run / "checkpoint" / "metrics.jsonl").exists() for run in runs), 240, "two runs on their way")
        cancelled, seed = time.time(), int(story.path_of_log(2).parent.name[-1])
        subprocess.run(["scancel", "2"], check=True)
        wait_until((runs[seed] / "checkpoint" / "state.pt").exists, 60, "the state of the cancelled run")
        story.saved_after = time.time() - cancelled
        slurm.control("update", "JobId=1", f"TimeLimit={2 + int(time.monotonic() - started) // 60}")
        story.ended(slurm)

        patch.setenv("PLANNED_SECONDS_PER_STEP", "600")
        story.submit("--retries", "0")
        wait_until(lambda: all(map(resumed, runs)), 240, "two runs that resume")
        story.limits = [slurm.limit(job) for job in (3, 4)]
        subprocess.run(["sbatch", "--partition=high", "--output=/dev/null", "--wrap=true"], cwd=story.folder, check=True)
        wait_until(lambda: "FAILED" in (slurm.jobs()[3], slurm.jobs()[4]), 60, "a preempted job")
        story.preempted, story.requeued = (3, 4) if slurm.jobs()[3] == "FAILED" else (4, 3)
        slurm.control("requeue", str(story.requeued))
        wait_until(lambda: slurm.jobs()[story.requeued] == "PENDING", 60, "a job that is queued again")
        slurm.control("update", f"JobId={story.requeued}", "StartTime=now")
        story.ended(slurm)
        yield story


def test_jobs_wait_for_a_drained_node(story):
    assert story.waited == ["PENDING", "PENDING"]


def test_a_cancelled_job_saves_its_state_and_the_command_says_so(story):
    code, output = story.outputs[0]
    assert code == 1 and story.states[0][2] == "CANCELLED"
    assert "SLURM-job '2' failed, SLURM status is: 'CANCELLED'" in output
    assert story.saved_after < 10


def test_a_job_that_runs_out_of_time_ends_before_its_time_is_up(story):
    _, output = story.outputs[0]
    assert story.states[0][1] == "FAILED" and "SLURM-job '1' failed, SLURM status is: 'FAILED'" in output
    assert "returned non-zero exit status 143" in story.path_of_log(1).read_text()


def test_a_run_of_two_days_asks_for_one_and_has_an_attempt_more(story):
    assert story.limits == ["1-00:00:00", "1-00:00:00"]
    assert "Trying to restart job" in story.outputs[1][1] and "Trying to restart job" not in story.outputs[0][1]


def test_the_same_command_goes_on_and_ends(story):
    code, output = story.outputs[1]
    assert code == 0, output
    assert f"SLURM-job '{story.preempted}' failed" in output, "a preempted job that ends in time is a new job"
    assert f"SLURM-job '{story.requeued}'" not in output, "a job that is queued again is the same job"
    assert story.states[1][story.requeued] == "COMPLETED"
    assert "returned non-zero exit status 143" in story.path_of_log(story.preempted).read_text()


def test_results_are_those_of_the_undisturbed_study(story, undisturbed):
    results, others = story.folder / FILES.root, undisturbed / FILES.root
    kinds = ("agent.pt", "events.parquet", "metrics.jsonl", "video.mp4", "*.npz", "index.parquet", "pairs.parquet")
    made = {path.relative_to(results): sha256(path) for kind in kinds for path in results.rglob(kind)}
    assert made == {path.relative_to(others): sha256(path) for kind in kinds for path in others.rglob(kind)}
    assert len(made) > 40 and not list(results.rglob("state.pt"))


def test_a_model_served_by_a_job_of_its_own_answers_and_is_told_by_a_file_that_goes_with_it(slurm, story, tmp_path):
    """docs/cluster.md, with a server that looks at brightness in the place of vLLM: from `sbatch` to labels, asked of by this machine."""
    script, told = ROOT / "workflow" / "profiles" / "slurm" / "serve_vlm.sh", tmp_path / "vlm.env"
    server = [sys.executable, "-m", "sensei.bench.openai_server", "--models", "Qwen/Qwen2.5-VL-7B-Instruct"]
    asked = ["sbatch", "--parsable", "--gres=none", "--mem=200M", "--cpus-per-task=1", script, *server]
    job = int(subprocess.run(asked, cwd=tmp_path, check=True, capture_output=True, text=True).stdout)
    wait_until(told.exists, 60, "the address of the server")
    assert told.stat().st_mode & 0o077 == 0
    study = read_yaml(ROOT / "tests" / "fakes" / "toys.yaml") | {"study": "asked", "annotators": ["local_server"]}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    asking = shlex.join(submission(tmp_path / "study.yaml", "labels", "--jobs", "2"))
    ended = subprocess.run(["bash", "-c", f"source {told} && {asking}"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    labels = pd.read_parquet(Layout(tmp_path / "results" / "asked").labels("toy_keydoor", "local_server").labels)
    assert len(labels) == study["pairs"]["number"] and set(labels["label"]) <= {0, 1, 2}
    subprocess.run(["scancel", str(job)], check=True)
    wait_until(lambda: not told.exists(), 60, "the end of the server")
