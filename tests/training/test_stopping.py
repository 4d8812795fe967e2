"""A run that is told to stop saves where it is, ends at once with a code that says so, and goes on later as if nothing had happened."""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.toys import toy_study

from sensei.core import stopping
from sensei.core.files import sha256
from sensei.envs.vector.environment import VectorEnvironment
from sensei.training import checkpoint
from sensei.training.runs import learn

STUDY = toy_study(training={"learn_steps": 120, "evaluate_every": 60, "checkpoint_every": 10_000})
FILES = ("metrics.jsonl", "events.parquet", "agent.pt", "video.mp4")


def run(folder: Path) -> None:
    learn(STUDY, "toy_counting", "counting", "dreamerv3", 0, folder)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """Folder of the run that nothing disturbed."""
    folder = tmp_path_factory.mktemp("whole")
    run(folder)
    return folder


@pytest.fixture
def listening() -> Iterator[None]:
    """The process obeys signals to stop, as a stage does, and no longer after the test."""
    handlers = {number: signal.getsignal(number) for number in (*stopping.SIGNALS, signal.SIGALRM)}
    stopping.listen()
    yield
    for number, handler in handlers.items():
        signal.signal(number, handler)


def at_step(patch: pytest.MonkeyPatch, stream: str, number: int, act) -> None:
    """Call `act` when the environments of `stream` are about to take step `number`."""
    step, taken = VectorEnvironment.step_async, []

    def counted(self, actions):
        if self.stream == stream:
            taken.append(self)
            if len(taken) == number:
                act()
        return step(self, actions)

    patch.setattr(VectorEnvironment, "step_async", counted)


@pytest.mark.usefixtures("listening")
@pytest.mark.parametrize(
    "number, stream, moment, saved",
    [(signal.SIGTERM, "task", 40, 75), (signal.SIGUSR1, "evaluation", 30, 58), (signal.SIGTERM, "video", 5, 120)],
)
def test_a_run_told_to_stop_loses_nothing(whole, number, stream, moment, saved, tmp_path, monkeypatch):
    with monkeypatch.context() as patch, pytest.raises(SystemExit) as end:
        at_step(patch, stream, moment, lambda: signal.raise_signal(number))
        run(tmp_path)
    assert end.value.code == 128 + number
    assert not (tmp_path / "metrics.jsonl").exists(), "an output of an incomplete run"
    assert checkpoint.load(tmp_path / "checkpoint" / "state.pt", arrays=True)["step"] >= saved
    run(tmp_path)
    assert {name: sha256(tmp_path / name) for name in FILES} == {name: sha256(whole / name) for name in FILES}


@pytest.mark.usefixtures("listening")
def test_a_second_signal_does_nothing(tmp_path, monkeypatch):
    def twice():
        signal.raise_signal(signal.SIGUSR1)
        signal.raise_signal(signal.SIGTERM)

    with pytest.raises(SystemExit) as end:
        at_step(monkeypatch, "task", 40, twice)
        run(tmp_path)
    assert end.value.code == 128 + signal.SIGUSR1
    assert (tmp_path / "checkpoint" / "state.pt").exists()


@pytest.mark.usefixtures("listening")
def test_a_turn_that_does_not_end_holds_a_signal_back_only_for_a_while(tmp_path, monkeypatch):
    def hang():
        signal.raise_signal(signal.SIGTERM)
        time.sleep(60)

    monkeypatch.setattr(stopping, "PATIENCE", 0.2)
    at_step(monkeypatch, "task", 40, hang)
    started = time.monotonic()
    with pytest.raises(SystemExit) as end:
        run(tmp_path)
    assert end.value.code == 128 + signal.SIGTERM
    assert time.monotonic() - started < 60
