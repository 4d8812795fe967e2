"""A run ends with the same bytes for the same seed, however often it is interrupted, and for no other reason."""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fakes.interrupted import Interrupted, count_steps
from fakes.toys import agent_tensors, dial_study, lines, toy_study
from helpers import environment

from sensei.core.errors import SenseiError
from sensei.core.files import sha256
from sensei.kernels import choice
from sensei.replay.episodes import load_episode
from sensei.study.models.study import Study
from sensei.training import checkpoint, outputs
from sensei.training.loop import Loop
from sensei.training.runs import explore, learn

Carry = Callable[..., None]


def few_updates(**changes) -> Study:
    return toy_study(**{**changes, "training": {"train_ratio": 4, **changes.get("training", {})}})


def explore_and_keep(folder: Path, seed: int = 0, **changes) -> None:
    explore(few_updates(**changes), "toy_counting", "plan2explore", seed, folder, keep_episodes=True)


def explore_at_random(folder: Path, seed: int = 0, **changes) -> None:
    explore(toy_study(**changes), "toy_counting", "random", seed, folder, keep_episodes=True)


def learn_dreamer(folder: Path, seed: int = 0, **changes) -> None:
    learn(few_updates(**changes), "toy_counting", "counting", "dreamerv3", seed, folder)


def learn_ppo(folder: Path, seed: int = 0, **changes) -> None:
    training = {"learn_steps": 700, "evaluate_every": 300, "checkpoint_every": 100, **changes.pop("training", {})}
    learn(toy_study(world_model={"image_size": 40}, training=training, **changes), "toy_counting", "counting", "ppo", seed, folder)


def learn_continuous(folder: Path, seed: int = 0) -> None:
    learn(dial_study(), "dial", "dial", "dreamerv3", seed, folder)


RUNS = [explore_and_keep, explore_at_random, learn_dreamer, learn_ppo]
LEARNING = [explore_and_keep, learn_dreamer, learn_ppo]


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Callable[[Carry], tuple[Path, int]]:
    """Folder of the uninterrupted run with seed 0, made once, and how often it stepped its environments."""
    made: dict[Carry, tuple[Path, int]] = {}

    def get(carry_out: Carry) -> tuple[Path, int]:
        if carry_out not in made:
            folder = tmp_path_factory.mktemp(carry_out.__name__)
            with pytest.MonkeyPatch.context() as patch:
                calls = count_steps(patch)
                carry_out(folder)
            made[carry_out] = folder, len(calls)
        return made[carry_out]

    return get


def interrupt(carry_out: Carry, folder: Path, stop_at: int) -> None:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, stop_at)
        carry_out(folder)


def assert_same_run(folder: Path, other: Path) -> None:
    """Every file equal to the byte: metrics, events, agent, video, and episodes where they are kept; but for the times."""
    tensors, others = agent_tensors(folder), agent_tensors(other)
    assert [name for name, tensor in tensors.items() if not torch.equal(tensor, others[name])] == []
    assert checksums(folder) == checksums(other)


def checksums(folder: Path) -> dict[str, str]:
    """Checksum of every file of a run, but of the one of times."""
    return {
        str(path.relative_to(folder)): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file() and path.name != "timing.jsonl"
    }


@pytest.mark.parametrize("carry_out", RUNS)
def test_a_run_leaves_its_outputs_and_no_state(whole, carry_out):
    folder, _ = whole(carry_out)
    files = {"metrics.jsonl", "timing.jsonl", "events.parquet", "agent.pt", "video.mp4"}
    assert {path.name for path in folder.iterdir()} == files | (
        {"episodes"} if carry_out in (explore_and_keep, explore_at_random) else set()
    )
    assert (folder / "video.mp4").stat().st_size > 500


@pytest.mark.parametrize("carry_out", RUNS)
def test_one_seed_gives_one_run(whole, carry_out, tmp_path):
    carry_out(tmp_path)
    assert_same_run(tmp_path, whole(carry_out)[0])


@pytest.mark.parametrize("carry_out", RUNS)
def test_another_seed_gives_another_run(whole, carry_out, tmp_path):
    carry_out(tmp_path, seed=1)
    folder, _ = whole(carry_out)
    assert (folder / "metrics.jsonl").read_bytes() != (tmp_path / "metrics.jsonl").read_bytes()
    if carry_out in LEARNING:
        weights, others = agent_tensors(folder), agent_tensors(tmp_path)
        moved = [
            name for name, tensor in weights.items() if "weight" in name and tensor.dim() > 1 and not torch.equal(tensor, others[name])
        ]
        assert len(moved) > 5


@pytest.mark.parametrize("carry_out", RUNS)
@pytest.mark.parametrize("moment", [0.02, 0.45, 0.99], ids=["before the first checkpoint", "in the middle", "in the video"])
def test_an_interrupted_run_equals_the_uninterrupted_one(whole, carry_out, moment, tmp_path):
    folder, steps = whole(carry_out)
    interrupt(carry_out, tmp_path, 1 + int(moment * steps))
    assert not (tmp_path / "metrics.jsonl").exists(), "an output of an incomplete run"
    carry_out(tmp_path)
    assert_same_run(tmp_path, folder)


def test_an_interrupted_run_with_continuous_actions_equals_the_uninterrupted_one(whole, tmp_path):
    folder, steps = whole(learn_continuous)
    interrupt(learn_continuous, tmp_path, steps // 2)
    learn_continuous(tmp_path)
    assert_same_run(tmp_path, folder)


@pytest.mark.parametrize("carry_out", [explore_at_random, explore_and_keep])
def test_a_resumed_run_really_starts_from_its_checkpoint(whole, carry_out, tmp_path, monkeypatch):
    interrupt(carry_out, tmp_path, whole(carry_out)[1] // 2)
    resumed, restore = [], Loop._restore
    monkeypatch.setattr(Loop, "_restore", lambda self, state: (resumed.append(state["step"]), restore(self, state)))
    carry_out(tmp_path)
    assert len(resumed) == 1 and 120 <= resumed[0] < 180, "the last checkpoint before the interruption"


def test_a_resumed_run_keeps_what_its_operations_are_computed_by(whole, tmp_path):
    began = choice.everything()._replace(ours=choice.everything().ours - {"draw"})
    with choice.taking(began):
        interrupt(explore_and_keep, tmp_path, whole(explore_and_keep)[1] // 2)
    with choice.taking(choice.everything()):
        explore_and_keep(tmp_path)
        assert choice.decision() == began


@pytest.mark.parametrize("carry_out", [explore_and_keep, learn_ppo])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_interrupted_while_it_saves_equals_the_uninterrupted_one(whole, carry_out, when, tmp_path, monkeypatch):
    """The state is one file: whatever belongs to it is there before it appears and stays until the next has appeared."""
    save, saved = checkpoint.save, []

    def stop_at_the_second(path, state):
        saved.append(path)
        if len(saved) < 2 or when == "after":
            save(path, state)
        if len(saved) == 2:
            raise Interrupted

    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(checkpoint, "save", stop_at_the_second)
        carry_out(tmp_path)
    carry_out(tmp_path)
    assert_same_run(tmp_path, whole(carry_out)[0])


KILLED = "import sys; sys.path.insert(0, {tests!r}); import test_resume as runs; runs.{name}(runs.Path({folder!r}))"


@pytest.mark.slow
@pytest.mark.parametrize("carry_out", LEARNING)
def test_a_killed_run_equals_the_uninterrupted_one(whole, carry_out, tmp_path):
    """SIGKILL twice, each time at a random moment after new progress, the second time in a run that was resumed."""
    folder, _ = whole(carry_out)
    unit = Path(__file__).parent
    code = KILLED.format(tests=str(unit), name=carry_out.__name__, folder=str(tmp_path))
    command, metrics = [sys.executable, "-c", code], tmp_path / "checkpoint" / "metrics.jsonl"
    settings = environment() | {"PYTHONPATH": os.pathsep.join([environment()["PYTHONPATH"], str(unit.parent)])}
    for _ in range(2):
        before = metrics.stat().st_mtime_ns if metrics.exists() else 0
        process = subprocess.Popen(command, env=settings, stderr=subprocess.DEVNULL)
        while process.poll() is None and not (metrics.exists() and metrics.stat().st_mtime_ns > before):
            time.sleep(0.01)
        time.sleep(random.uniform(0, 0.6))
        process.send_signal(signal.SIGKILL)
        process.wait()
    subprocess.run(command, env=settings, check=True, stderr=subprocess.DEVNULL)
    assert_same_run(tmp_path, folder)


@pytest.mark.parametrize("carry_out", [explore_and_keep, learn_ppo])
def test_a_resumed_run_with_other_settings_names_the_keys(whole, carry_out, tmp_path):
    _, steps = whole(carry_out)
    interrupt(carry_out, tmp_path, int(0.7 * steps))
    with pytest.raises(SenseiError, match=r"settings\.behaviour\.horizon \(5 -> 6\)") as error:
        carry_out(tmp_path, behaviour={"horizon": 6})
    assert str(tmp_path / "checkpoint" / "state.pt") in str(error.value)


def flip(path: Path, place: float = 0.4) -> None:
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= 0x10
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def zero_from_the_header_on(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:128] + bytes(len(content) - 128))


def empty(path: Path) -> None:
    path.write_bytes(b"")


DAMAGES = [
    *(("checkpoint/state.pt", damage) for damage in (flip, cut, zero, empty)),
    *(("checkpoint/metrics.jsonl", damage) for damage in (Path.unlink, empty, flip)),
    *(("checkpoint/running-*-1.npz", damage) for damage in (Path.unlink, cut, flip)),
    *(("episodes/worker00-000001.npz", damage) for damage in (Path.unlink, cut, flip)),
    *(("checkpoint/replay/image.npy", damage) for damage in (Path.unlink, cut, empty, zero_from_the_header_on)),
    ("checkpoint/replay/is_terminal.npy", lambda path: flip(path, 0.2)),
    ("checkpoint/replay/action.npy", lambda path: path.rename(path.with_name("reward.npy"))),
]


@pytest.mark.parametrize("name, damage", DAMAGES)
def test_a_checkpoint_that_is_not_whole_is_none(whole, name, damage, tmp_path, caplog):
    """The run says so in one line, begins again and ends as if nothing had been."""
    carry_out = explore_and_keep if "replay" in name else explore_at_random  # which keeps no replay and is quicker
    folder, steps = whole(carry_out)
    interrupt(carry_out, tmp_path, steps // 2)
    (path,) = tmp_path.glob(name)
    damage(path)
    caplog.clear()
    carry_out(tmp_path)
    (line,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert "starts anew" in line and "\n" not in line and (path.name in line or "replay" in line)
    assert_same_run(tmp_path, folder)


@pytest.mark.parametrize("carry_out", [explore_and_keep, learn_ppo])
@pytest.mark.parametrize("gone", ["nothing", "replay", "metrics.jsonl"])
def test_a_run_killed_while_it_deletes_its_state_equals_the_uninterrupted_one(whole, carry_out, gone, tmp_path, monkeypatch):
    def stopped(folder, **options):
        path = Path(folder) / gone
        if path.is_dir():
            rmtree(path)
        path.unlink(missing_ok=True)
        raise Interrupted

    rmtree = shutil.rmtree
    with monkeypatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(outputs.shutil, "rmtree", stopped)
        carry_out(tmp_path)
    carry_out(tmp_path)
    assert_same_run(tmp_path, whole(carry_out)[0])


def test_what_a_run_with_other_settings_left_before_its_first_checkpoint_is_forgotten(whole, tmp_path):
    interrupt(lambda folder: explore_and_keep(folder, seed=1, training={"checkpoint_every": 10000}), tmp_path, 100)
    assert list((tmp_path / "episodes").iterdir())
    explore_and_keep(tmp_path)
    assert_same_run(tmp_path, whole(explore_and_keep)[0])


@pytest.mark.parametrize("carry_out", RUNS)
def test_events_count_every_step_once(whole, carry_out):
    """One row an episode, without gaps; Counting says what the sums must be."""
    folder, _ = whole(carry_out)
    table = pd.read_parquet(folder / "events.parquet")
    steps = lines(folder)[-1]["step"]
    assert table["length"].sum() == table["last_step"].max() >= steps
    for _, rows in table.groupby("worker"):
        assert rows["episode"].tolist() == list(range(len(rows)))
        assert rows["finished"].tolist() == [True] * (len(rows) - 1) + [rows["finished"].iloc[-1]]
    np.testing.assert_allclose(table["episode_return"], table["length"] * (table["length"] + 1) / 200, rtol=1e-5)
    np.testing.assert_array_equal(table["odd_step"], (table["length"] + 1) // 2)
    assert table["semantic_return"].isna().all()


def test_kept_episodes_are_the_rows_of_the_table(whole):
    folder, _ = whole(explore_and_keep)
    table = pd.read_parquet(folder / "events.parquet")
    files = {path.name: load_episode(path) for path in (folder / "episodes").iterdir()}
    for row in table[table["length"] > 0].itertuples():
        episode = files.pop(f"worker{row.worker:02d}-{row.episode:06d}.npz")
        steps = np.arange(row.length + 1)
        np.testing.assert_array_equal(episode["image"][:, 0, 0, 0], steps)
        np.testing.assert_array_equal(episode["image"][1:, 0, 0, 1], 10 * (episode["action"][:-1] + 1), "the action after the observation")
        assert episode["is_first"].tolist() == (steps == 0).tolist()
        assert episode["is_last"].tolist() == [False] * row.length + [row.finished]
    assert not files


@pytest.mark.parametrize("carry_out", [learn_dreamer, learn_ppo])
def test_evaluations_lie_at_the_same_steps_for_every_seed_and_method(whole, carry_out):
    """Workers count together and overshoot by a few steps, seed by seed differently; the curves of seeds must still join."""
    folder, _ = whole(carry_out)
    at = [line["step"] for line in lines(folder) if "evaluation/score" in line]
    assert at == {learn_dreamer: [0, 100, 200, 240], learn_ppo: [0, 300, 600, 700]}[carry_out]
    assert {line["evaluation/episodes"] for line in lines(folder) if "evaluation/score" in line} == {2.0}
