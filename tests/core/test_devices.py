"""Places on GPUs: never more runs on one than allowed, none lost when its holder is killed. No GPU is needed."""

import multiprocessing
import os
import signal
from collections import Counter
from multiprocessing.connection import Connection, wait

import pytest

from sensei.core import devices

GPUS = "0,1,GPU-2f,3"


@pytest.fixture(autouse=True)
def pretended_gpus(monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", GPUS)
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(devices.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(devices, "POLL_SECONDS", 0.02)


def hold(runs_per_gpu: int, pipe: Connection) -> None:
    with devices.place_on_gpu("cuda", runs_per_gpu):
        pipe.send(os.environ["CUDA_VISIBLE_DEVICES"])
        pipe.recv()


@pytest.fixture
def start():
    context, processes = multiprocessing.get_context("fork"), []

    def begin(runs_per_gpu: int) -> tuple[Connection, multiprocessing.Process]:
        ours, theirs = context.Pipe()
        process = context.Process(target=hold, args=(runs_per_gpu, theirs))
        process.start()
        theirs.close()
        processes.append(process)
        return ours, process

    yield begin
    for process in processes:
        process.kill()
        process.join()


@pytest.mark.parametrize("runs_per_gpu", [1, 2])
def test_eight_runs_on_four_gpus(start, runs_per_gpu):
    pipes = dict(start(runs_per_gpu) for _ in range(8))
    placed: dict[Connection, str] = {}
    while len(placed) < 4 * runs_per_gpu:
        placed |= {pipe: pipe.recv() for pipe in wait([pipe for pipe in pipes if pipe not in placed], 10)}
    assert Counter(placed.values()) == dict.fromkeys(GPUS.split(","), runs_per_gpu)
    waiting = [pipe for pipe in pipes if pipe not in placed]
    assert not wait(waiting, 0.2), "one GPU too many"
    while waiting:
        gone = next(iter(placed))
        os.kill(pipes[gone].pid, signal.SIGKILL)
        (pipe,) = wait(waiting, 10)
        assert pipe.recv() == placed.pop(gone), "the place of the killed run"
        waiting.remove(pipe)


def test_a_place_is_given_back_and_the_environment_is_as_before():
    for _ in range(2):
        with devices.place_on_gpu("cuda", 1):
            assert os.environ["CUDA_VISIBLE_DEVICES"] in GPUS.split(",")
        assert os.environ["CUDA_VISIBLE_DEVICES"] == GPUS


def test_a_cluster_job_shares_only_its_own_gpus(monkeypatch):
    """Every job of a cluster may call its GPU 0."""
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    with devices.place_on_gpu("cuda", 1):
        monkeypatch.setenv("SLURM_JOB_ID", "8")
        with devices.place_on_gpu("cuda", 1):
            assert os.environ["CUDA_VISIBLE_DEVICES"] == "0"


@pytest.mark.parametrize(("device", "visible"), [("cpu", GPUS), ("auto", ""), ("auto", "-1")])
def test_a_run_on_the_processor_takes_no_place(device, visible, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with devices.place_on_gpu(device, 1):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == visible
    assert not list(tmp_path.iterdir())
