"""How far a study is, from its files alone: on this machine, on a cluster, after a copy, while jobs run and after they have stopped."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from sensei.study.cost import run_ends
from sensei.study.graph import Work, work
from sensei.study.layout import Layout, RunFiles
from sensei.study.models.study import Study
from sensei.study.rates import time_of

LAST_LINES = 3  # of the log of a job that failed
TAIL = 4000  # bytes of a log that are read
RUNS = ("explore", "learn")


@dataclass(frozen=True)
class Job:
    """One job that has begun and is not done.

    Attributes:
        stage, name: which.
        state: running; failed (its log ends with an error); or stopped (and goes on when the study is made again).
        step, steps: of a run, agent steps so far and in all; 0 of other jobs.
        rate: agent steps a second, from the last line of `timing.jsonl`.
        counts: events so far.
        log: where what it says goes.
        said: the last lines of the log, of a job that failed.
    """

    stage: str
    name: str
    state: str
    log: str
    step: int = 0
    steps: int = 0
    rate: float = 0.0
    counts: dict[str, float] = field(default_factory=dict)
    said: tuple[str, ...] = ()

    @property
    def seconds_left(self) -> float | None:
        """At the last rate; None where it is not known."""
        return (self.steps - self.step) / self.rate if self.rate and self.state == "running" else None


@dataclass(frozen=True)
class Status:
    """All stages (name -> done, of), and the jobs that have begun.

    Attributes:
        work_left: seconds that what is left takes one job after the other, by measured rates (`sensei.study.rates`).
    """

    study: str
    folder: str
    stages: dict[str, tuple[int, int]]
    jobs: list[Job]
    work_left: float

    @property
    def done(self) -> bool:
        """Whether nothing is left."""
        return all(done == of for done, of in self.stages.values())

    def as_json(self) -> dict[str, Any]:
        """For programs."""
        stages = {name: {"done": done, "of": of} for name, (done, of) in self.stages.items()}
        jobs = [asdict(job) | {"seconds_left": job.seconds_left} for job in self.jobs]
        return {"study": self.study, "folder": self.folder, "done": self.done, "work_left": self.work_left, "stages": stages, "jobs": jobs}

    def lines(self) -> list[str]:
        """In words, one line for the whole and one for each job that has begun."""
        some = ", ".join(f"{name} {made}/{of}" for name, (made, of) in self.stages.items() if made != of)
        return [f"{self._total()}{f' ({some})' if some else ''}", *map(told, self.jobs)]

    def line(self) -> str:
        """The whole and what is under way, in a line."""
        running = [
            f"{job.stage} {job.name}{f' {job.step:,}/{job.steps:,}' if job.steps else ''}" for job in self.jobs if job.state == "running"
        ]
        return "; ".join([self._total(), *running])

    def _total(self) -> str:
        done, of = (sum(numbers) for numbers in zip(*self.stages.values(), strict=True))
        return f"study {self.study}: {done} of {of} jobs done{self.work_in_words}"

    @property
    def work_in_words(self) -> str:
        """`work_left`, to be appended to a sentence; nothing if it is less than a minute."""
        return f", about {timedelta(minutes=round(self.work_left / 60))} of work left" if self.work_left >= 60 else ""


def status(study: Study, files: Layout) -> Status:
    """How far a study is."""
    every, left = work(study, files), set(work(study, files, left=True))
    stages = {one.stage.name: (0, 0) for one in every}
    for name, of in Counter(one.stage.name for one in every).items():
        stages[name] = (of - sum(one.stage.name == name for one in left), of)
    begun = {one: job for one in every if one in left and (job := _begun(study, files, one))}
    ahead = {one: 1 - job.step / job.steps for one, job in begun.items() if job.steps}
    work_left = sum(ahead.get(one, 1) * (time_of(study, files, one).seconds or 0) for one in every if one in left)
    return Status(study.study, str(files.root), stages, list(begun.values()), work_left)


def _begun(study: Study, files: Layout, one: Work) -> Job | None:
    """What can be said of a job that is left; None if it has not begun."""
    outputs, log = one.stage.outputs(files, one.job), one.stage.log(files, one.job)
    first = next(iter(outputs.values()))
    running, said = _held(first.with_name(f".{first.name}.lock")), last_lines(log)
    failed = not running and any(line.startswith("Error:") for line in said)
    run = _progress(study, one, RunFiles(first.parent)) if one.stage.name in RUNS else {}
    if not (running or failed or run.get("step")):
        return None
    state = "running" if running else "failed" if failed else "stopped"
    names = [getattr(one.job, axis) for axis in one.stage.axes if axis != "generation"]
    names += [f"generation {one.job.generation}"] * (one.job.generation != "1")
    return Job(one.stage.name, " ".join(names), state, str(log), said=said if failed else (), **run)


def _held(lock: Path) -> bool:
    """Whether a process holds the lock of a job; one that ended without letting go of its file holds nothing."""
    if not lock.exists():
        return False
    asked = FileLock(lock, fallback_to_soft=False, preserve_lock_file=True)
    try:
        asked.acquire(timeout=0)
    except (Timeout, OSError):
        return True
    asked.release()
    return False


def _progress(study: Study, one: Work, files: RunFiles) -> dict[str, Any]:
    """Steps, rate and counts of a run that is under way."""
    _, steps = run_ends(study, one.stage.name, one.job.environment, one.job.method, int(one.job.generation))
    metrics, timing = _last_record(files.metrics_so_far), _last_record(files.timing)
    counts = {name.removeprefix("events/"): value for name, value in metrics.items() if name.startswith("events/")}
    return {"step": int(metrics.get("step", 0)), "steps": steps, "rate": timing.get("steps_per_second", 0.0), "counts": counts}


def _last_record(path: Path) -> dict[str, Any]:
    """The last whole line of a file of JSON lines that says "step"; {} if there is none."""
    for line in reversed(_tail(path)):
        try:
            return json.loads(line)
        except ValueError:
            continue  # it is being written
    return {}


def last_lines(log: Path) -> tuple[str, ...]:
    """Of a log; empty lines do not count."""
    return tuple(line for line in _tail(log) if line.strip())[-LAST_LINES:]


def _tail(path: Path) -> list[str]:
    """The last lines of a file; none if it is not there."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - TAIL))
            return file.read().decode("utf-8", errors="replace").splitlines()
    except OSError:
        return []


def told(job: Job) -> str:
    """A job in a line, and what a failed one said."""
    parts = [f"{job.stage} {job.name}: {job.state}"]
    if job.steps:
        parts.append(f"{job.step:,} of {job.steps:,} steps")
    if job.seconds_left is not None:
        parts.append(f"{job.rate:.3g} a second, {timedelta(seconds=round(job.seconds_left))} left")
    parts += [f"{name} {count:g}" for name, count in job.counts.items()]
    return "\n".join([f"{', '.join(parts)}; {job.log}", *(f"    {line}" for line in job.said)])
