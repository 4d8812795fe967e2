"""Metrics that are sent on: each line once, whatever happens to the run; to the services' own libraries, off-line."""

import json
import os
import signal
import struct
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakes.guide import blocks
from fakes.toys import AXES, SMALL, lines, toy_study
from helpers import ROOT, environment

from sensei.core.errors import SenseiError
from sensei.study.layout import Layout, RunFiles
from sensei.study.load import load_study
from sensei.study.preflight import missing
from sensei.training import tracking
from sensei.training.run import task_run
from sensei.training.runs import carry_out

KILLED = "import sys; from pathlib import Path; from test_tracking import learned; learned(Path(sys.argv[1]), sys.argv[2])"
BLOCK = 2**15
Found = Counter[tuple[str, int, float]]  # (name, step, value) -> how often


def learned(folder: Path, *trackers: str, seed: int = 0) -> Path:
    """A task run of PPO on a toy that tells its metrics to trackers."""
    training = {"trackers": list(trackers), "learn_steps": 1500, "log_every": 100, "checkpoint_every": 500, "evaluate_every": 500}
    carry_out(task_run(toy_study(training=training), "toy_counting", "counting", "ppo", seed, folder))
    return folder


def written(folder: Path) -> Found:
    """All metrics of the run."""
    return Counter((name, line["step"], value) for line in lines(folder) for name, value in line.items() if name != "step")


def in_notes(folder: Path) -> Found:
    (path,) = folder.glob("*.notes")
    read = map(json.loads, path.read_text().splitlines())
    return Counter((name, step, value) for step, metrics in read for name, value in metrics.items())


def in_tensorboard(folder: Path) -> Found:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = Counter()
    for path in (folder / "tensorboard").iterdir():
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}).Reload()
        found.update((name, event.step, event.value) for name in events.Tags()["scalars"] for event in events.Scalars(name))
    return found


def in_wandb(folder: Path) -> Found:
    from wandb.proto.wandb_internal_pb2 import Record

    found = Counter()
    for path in folder.glob("wandb/offline-run-*/*.wandb"):
        for data in logged(path.read_bytes()):
            record = Record.FromString(data)
            row = {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
            found.update((name, row["_step"], value) for name, value in row.items() if not name.startswith("_"))
    return found


def logged(content: bytes) -> Iterator[bytes]:
    """The records of a file as LevelDB lays out its log: blocks of 32 kB, of pieces of checksum, length, kind (whole, first, ..., last)."""
    at, data = 7, b""  # behind its own header
    while at + 7 <= len(content):
        length, kind = struct.unpack_from("<HB", content, at + 4)
        if at % BLOCK + 7 > BLOCK or not kind:  # the rest of a block is empty
            at += BLOCK - at % BLOCK
            continue
        data += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):
            yield data
            data = b""


def in_mlflow(folder: Path) -> Found:
    from mlflow import MlflowClient

    os.environ["MLFLOW_ALLOW_FILE_STORE"] = "true"
    client = MlflowClient((folder.parent / "mlruns").as_uri())
    (run,) = client.search_runs([client.get_experiment_by_name("toys").experiment_id])
    assert run.info.status == "FINISHED" and run.info.run_name == "toy_counting/counting/ppo/seed0"
    assert run.data.params["seed"] == "0"
    histories = (client.get_metric_history(run.info.run_id, name) for name in run.data.metrics)
    return Counter((metric.key, metric.step, metric.value) for history in histories for metric in history)


def rounded(found: Found) -> Found:
    """Values as float32 holds them."""
    return Counter({(name, step, f"{value:.5g}"): count for (name, step, value), count in found.items()})


SERVICES = {"tensorboard": in_tensorboard, "wandb": in_wandb, "mlflow": in_mlflow}


@pytest.mark.slow
@pytest.mark.parametrize(("tracker", "read"), SERVICES.items(), ids=SERVICES)
def test_a_run_that_is_killed_and_resumed_sends_no_line_twice(tracker: str, read: Callable[[Path], Found], tmp_path):
    if tracker in ("wandb", "mlflow"):
        pytest.importorskip(tracker, reason=f"pip install -e '.[{tracker}]'")
    folder = tmp_path / "run"
    command = [sys.executable, "-c", KILLED, str(folder), tracker]
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests"), str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")])
    settings = environment() | {"PYTHONPATH": paths, "WANDB_MODE": "offline", "MLFLOW_TRACKING_URI": (tmp_path / "mlruns").as_uri()}
    settings |= {"MLFLOW_ALLOW_FILE_STORE": "true"}  # the one store that needs no database
    process = subprocess.Popen(command, env=settings, cwd=tmp_path)
    while not ((folder / "tracking.json").exists() and (folder / "checkpoint" / "state.pt").exists() and beyond_the_checkpoint(folder)):
        assert process.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    process.wait()
    subprocess.run(command, env=settings, cwd=tmp_path, check=True)
    sent, truth = rounded(read(folder)), rounded(written(folder))
    assert not sent - truth, "sent twice, or what is no metric"
    assert len({step for _, step, _ in truth - sent}) <= 1, "more is lost than what was under way at the kill"
    assert len(truth) > 40


def beyond_the_checkpoint(folder: Path) -> bool:
    """Whether lines have been written, and sent, since the last state was saved."""
    state, metrics = folder / "checkpoint" / "state.pt", folder / "checkpoint" / "metrics.jsonl"
    return metrics.stat().st_mtime_ns > state.stat().st_mtime_ns + 5 * 10**7


def test_a_tracker_that_fails_changes_nothing_and_is_said_once(tmp_path, caplog):
    folder, alone = learned(tmp_path / "run", "fakes.trackers:Fails", "fakes.trackers:Notes"), learned(tmp_path / "alone")
    assert (folder / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
    assert in_notes(folder) == written(folder)
    said = [line for line in caplog.messages if "fakes.trackers:Fails" in line]
    assert len(said) == 1 and "ConnectionError: no route to host; all metrics are in metrics.jsonl" in said[0]
    assert not (alone / "tracking.json").exists()


MISBEHAVING = {"Exits": "SystemExit", "Hangs": "it does not return within 0.2 s", "Speechless": "Error", "Draws": None}


def test_no_tracker_ends_stops_or_changes_a_run_whatever_it_does(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(tracking, "PATIENCE", 0.2)
    names = [f"fakes.trackers:{name}" for name in MISBEHAVING]
    folder, alone = learned(tmp_path / "run", *names, "fakes.trackers:Notes"), learned(tmp_path / "alone")
    assert (folder / "metrics.jsonl").read_bytes() == (alone / "metrics.jsonl").read_bytes()
    assert in_notes(folder) == written(folder)
    for name, words in zip(names, MISBEHAVING.values(), strict=True):
        said = [line for line in caplog.messages if name in line]
        assert words is None and not said or len(said) == 1 and words in said[0]


def damaged(known: dict[str, object]) -> Iterator[str]:
    """What may stand in a tracking.json that is not what was written."""
    (name,) = known["sent"]
    for end in (known["sent"][name] - 1, -7, "x", 9e99, None):
        yield json.dumps(known | {"sent": {name: end}})
    yield json.dumps(known | {"sent": [name]})
    yield json.dumps(known)[:-9]
    yield "[" * 100_000


def test_a_damaged_note_of_what_was_sent_begins_a_new_record(tmp_path):
    study, files = toy_study(training={"trackers": ["fakes.trackers:Notes"]}), RunFiles(tmp_path)
    files.checkpoint.mkdir()
    files.metrics_so_far.write_text(json.dumps({"step": 1, "x": 0.5}) + "\n")

    def follow() -> list[Path]:
        training = study.settings["toy_counting"].training
        tracking.Tracking(training.trackers, files, "toys", "a run", dict).follow()
        return list(tmp_path.glob("*.notes"))

    assert len(follow()) == len(follow()) == 1
    for number, text in enumerate(damaged(json.loads(files.tracking.read_text())), 2):
        files.tracking.write_text(text)
        assert len(notes := follow()) == number
        assert all(len(path.read_text().splitlines()) == 1 for path in notes)


def test_a_tracker_is_named_once():
    with pytest.raises(SenseiError, match="`trackers` names tensorboard twice"):
        toy_study(training={"trackers": ["tensorboard", "tensorboard"]})


def test_another_run_in_the_same_folder_is_another_record(tmp_path):
    folder = learned(tmp_path / "run", "fakes.trackers:Notes")
    learned(folder, "fakes.trackers:Notes", seed=1)
    assert len(list(folder.glob("*.notes"))) == 2


def test_what_a_tracker_needs_is_asked_for_before_the_first_job(tmp_path):
    with pytest.raises(SenseiError, match="trackers.*unknown tracker: found nowhere, expected one of mlflow, tensorboard, wandb, or"):
        toy_study(training={"trackers": ["nowhere"]})
    content = {**AXES, **SMALL, "environments": ["toy_counting"]}
    content["training"] = SMALL["training"] | {"trackers": ["fakes.trackers:NeedsMore"]}
    study = load_study(content, source="the study")
    lacking = "\n".join(map(str, missing(study, Layout(tmp_path / "results" / "toys"), False, True)))
    assert "tracker fakes.trackers:NeedsMore needs the Python module not_installed_anywhere\n-> pip install luck" in lacking


def test_the_tracker_of_the_documentation_is_told_every_line(tmp_path, monkeypatch):
    (tmp_path / "notes.py").write_text(blocks((ROOT / "docs" / "tracking.md").read_text(encoding="utf-8"))["notes.py"])
    monkeypatch.syspath_prepend(tmp_path)
    folder = learned(tmp_path / "run", "notes:Notes")
    assert len((folder / "notes.txt").read_text().splitlines()) == len(lines(folder))
