"""Pairs of real Robodesk states: no picture is kept, every view is drawn again as it was; runs are killed and resumed."""

import json

import numpy as np
import pytest

from sensei.core.errors import SenseiError
from sensei.envs.redraw import draw_states
from sensei.envs.registry import make
from sensei.envs.robodesk.oracle import HANDLES, _position, interesting
from sensei.envs.vector.environment import VectorEnvironment
from sensei.preferences.frames import Frames
from sensei.preferences.pairs import make_pairs
from sensei.replay.episodes import collect, load_episode
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.study.models.preferences import PairsConfig
from sensei.training import loop
from sensei.training.episodes import Episodes
from sensei.training.run import exploration_run, task_run
from sensei.training.runs import carry_out

STUDY = load_study(CONFIG_FOLDER / "smoke.yaml")
DESK = STUDY.settings["robodesk"].environment.model_copy(update={"episode_steps": 4})


@pytest.fixture(scope="module")
def collection(tmp_path_factory):
    """Two workers' episodes of five rows, and the pictures that an annotator would have seen, by file and time."""
    folder, seen = tmp_path_factory.mktemp("robodesk"), {}
    with VectorEnvironment(DESK, 40, 0, "explore", 2, annotator_images=None) as environments:
        space = environments.action_space
        episodes = Episodes(2, environments.event_names, environments.state_names, folder / "run")
        rows = environments.reset()
        assert "annotator_image" not in rows
        episodes.observe(rows, np.full(2, np.nan), 0)
        rng = np.random.default_rng(0)
        actions = rng.uniform(-1, 1, (4, 2, *space.shape)).astype(np.float32)
        for action in actions:
            episodes.act(action)
            episodes.observe(environments.step(action), np.full(2, np.nan), 0)
    with VectorEnvironment(DESK, 40, 0, "explore", 2, annotator_images=True) as environments:
        for time, rows in enumerate([environments.reset(), *map(environments.step, actions)]):
            for worker in range(2):
                seen[f"worker{worker:02d}-000000.npz", time] = rows["annotator_image"][worker]
    collect(folder / "run", folder)
    return folder, seen


def test_frames_are_drawn_as_they_were_seen_and_from_the_left_too(collection, tmp_path):
    folder, seen = collection
    table = make_pairs({0: folder}, PairsConfig(number=8), 0, tmp_path / "pairs.parquet", tmp_path / "frames.npz", DESK)
    frames = Frames(tmp_path / "frames.npz")
    assert frames.views == ("right", "left") and frames.of("left").shape == frames.image.shape == (len(frames.flags), 224, 224, 3)
    for side in ("first_", "second_"):
        for row in table.to_dict("records"):
            picture = frames.of("right")[row[f"{side}frame"]].astype(int)
            assert np.abs(picture - seen[row[f"{side}file"], row[f"{side}time"]]).mean() < 0.2  # states are stored as float32
    assert np.abs(frames.of("left").astype(int) - frames.image).mean() > 10
    with pytest.raises(SenseiError, match="view 'top'.*one of right, left"):
        frames.of("top")


def test_several_processes_draw_the_same(collection):
    episode = load_episode(collection[0] / "episodes" / "worker00-000000.npz", ("state", "state_names"))
    names = episode["state_names"].tolist()
    alone, together = (list(draw_states(DESK, episode["state"], names, "left", processes)) for processes in (1, 2))
    np.testing.assert_array_equal(alone, together)


def test_contrastive_pairs_of_a_short_run_say_what_is_lacking(collection, tmp_path):
    config = PairsConfig(kind="contrastive", number=8)
    with pytest.raises(SenseiError, match="not enough very"):
        make_pairs({0: collection[0]}, config, 0, tmp_path / "pairs.parquet", tmp_path / "frames.npz", DESK)
    assert not list(tmp_path.iterdir())


def test_the_oracle_on_states_of_the_simulator():
    env = make(DESK, 40)
    env.draws = False
    _, info = env.reset(seed=3)
    state = info["state"]
    gripper = np.array([state[f"end_effector_{axis}"] for axis in "xyz"])
    for handle in HANDLES:  # the released code's formula is where the simulator has the handle
        assert np.linalg.norm(gripper - _position(state, handle)) == pytest.approx(state[f"distance_{handle}"], abs=2e-3)
    assert not interesting(state)
    simulation = env._simulation
    simulation.data.joint("drawer_joint").qpos[0] = -0.25
    simulation.start(simulation.data.qpos.copy())
    assert interesting(env._state())
    env.close()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("phase", ["explore", "learn"])
def test_a_killed_run_ends_with_the_same_bytes(tmp_path, monkeypatch, phase):
    class Killed(Exception):
        pass

    def run(folder):
        if phase == "learn":
            made = task_run(STUDY, "robodesk", "open_drawer_medium", "dreamerv3", 0, folder)
        else:
            made = exploration_run(STUDY, "robodesk", "plan2explore", 0, folder)
        training = made.settings.training.model_copy(
            update={"prefill": 16, "checkpoint_every": 30, "train_ratio": 16, "evaluate_every": 60, "log_every": 20}
        )
        environment = made.settings.environment.model_copy(update={"episode_steps": 14})
        settings = made.settings.model_copy(update={"training": training, "environment": environment})
        return type(made)(**{**made.__dict__, "settings": settings, "steps": 60, "keep_episodes": phase == "explore"})

    carry_out(run(tmp_path / "whole"))
    turn = loop.Loop.turn

    def turn_or_die(self):
        if self.step >= 50:
            raise Killed
        turn(self)

    monkeypatch.setattr(loop.Loop, "turn", turn_or_die)
    with pytest.raises(Killed):
        carry_out(run(tmp_path / "killed"))
    monkeypatch.setattr(loop.Loop, "turn", turn)
    carry_out(run(tmp_path / "killed"))
    lines = (tmp_path / "whole" / "metrics.jsonl").read_text().splitlines()
    assert len(lines) > 2 and all(np.isfinite(list(json.loads(line).values())).all() for line in lines)
    for name in ("metrics.jsonl", "events.parquet"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "killed" / name).read_bytes(), name
    kept = sorted((tmp_path / "whole").glob("episodes/*.npz"))
    assert bool(kept) == (phase == "explore")
    for path in kept:
        assert path.read_bytes() == (tmp_path / "killed" / "episodes" / path.name).read_bytes()
