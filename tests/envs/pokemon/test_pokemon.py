"""The environment on the cartridge that PyBoy ships: the real console, another game."""

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from helpers import run_python

from sensei.core.errors import SenseiError
from sensei.envs.check import check_environment
from sensei.envs.pokemon import cartridge
from sensei.envs.vector.environment import VectorEnvironment


def test_it_keeps_the_contract(made):
    assert check_environment(made()) == 20


def test_it_leaves_the_screen_to_others(made):
    """PyBoy is loaded without its windows: OpenGL that is made ready for one cannot draw Robodesk in the same process."""
    code = "import sys, sensei.envs.pokemon.emulator; print([name for name in ('OpenGL', 'sdl2') if name in sys.modules])"
    assert run_python("-c", code, cwd=Path.cwd()).stdout == "[]\n"


def test_the_agent_sees_the_screen(made):
    env = made()
    first, _ = env.reset(seed=0)
    screen = env.render_for_annotator()
    assert screen.shape == (144, 160, 3) and first["image"].shape == (64, 64, 3) and len(np.unique(screen)) > 1
    assert abs(screen.mean() - first["image"].mean()) < 2  # areas are averaged


def test_the_observation_may_be_what_annotators_see(made):
    env = made({"annotator_picture": "observation"})
    observation, _ = env.reset(seed=0)
    assert np.array_equal(env.render_for_annotator(), observation["image"])


def test_episodes_start_from_the_saved_game_wherever_the_last_one_ended(made, tmp_path, monkeypatch):
    from pyboy import PyBoy

    rom = Path(os.environ[cartridge.ROM])
    console = PyBoy(io.BytesIO(rom.read_bytes()), window="null", sound_emulated=False, cgb=False)
    console.tick(900, True)
    with open(tmp_path / "saved.state", "wb") as file:
        console.save_state(file)
    console.stop(save=False)
    monkeypatch.setenv(cartridge.STATE, str(tmp_path / "saved.state"))
    env = made({"start": "saved_game", "state_sha1": hashlib.sha1((tmp_path / "saved.state").read_bytes()).hexdigest()})
    played = []
    for actions in ([], [4, 4, 0, 2], [4, 4, 0, 2]):
        first = env.reset(seed=1)[0]["image"]
        played.append([first, *(env.step(action)[0]["image"] for action in actions)])
    assert np.array_equal(played[0][0], played[1][0]) and np.array_equal(played[1], played[2])
    with pytest.raises(SenseiError, match="another saved game"):
        made({"start": "saved_game", "state_sha1": "0" * 40})


@pytest.mark.parametrize(("workers", "lengths"), [(1, {0: 4, 9: 4, 10: 8, 14: 8, 15: 20, 99: 20}), (2, {0: 4, 4: 4, 5: 8, 7: 8, 8: 20})])
def test_episodes_grow_with_the_steps_of_the_run(made, workers, lengths):
    env = made({"schedule": [{"until": 40, "episode_steps": 4}, {"until": 80, "episode_steps": 8}]})
    for episode, length in lengths.items():
        env.reset(seed=0, options={"episode": episode, "workers": workers})
        taken = next(step for step in range(1, 30) if env.step(0)[3])
        assert taken == length
    env.pursue(evaluation=True)
    env.reset(seed=0, options={"episode": 0, "workers": workers})
    assert next(step for step in range(1, 30) if env.step(0)[3]) == 20


def test_the_papers_schedule_makes_437_episodes_of_750k_steps(made):
    env = made()
    lengths, steps = [], 0
    while steps < 750_000:
        lengths.append(env._length(len(lengths), 1))
        steps += lengths[-1]
    assert len(lengths) == 250 + 125 + 63 and sorted(set(lengths)) == [1000, 2000, 4000]


def test_workers_play_in_processes_and_are_brought_back_to_where_they_were(made):
    config = made({"schedule": [{"until": 12, "episode_steps": 3}]}, episode_steps=6).config
    actions = np.array([[4, 0], [2, 4], [1, 1], [0, 0], [4, 3], [5, 2], [3, 4]])
    with VectorEnvironment(config, 64, 0, "test", 2, annotator_images=True) as env:
        env.reset()
        rows = [env.step(action) for action in actions]
        ends = [row["is_last"].tolist() for row in rows]
        taken = [actions[4:7, worker] for worker in range(2)]
        assert ends == [[step in (2, 6)] * 2 for step in range(7)] and env.episodes.tolist() == [1, 1]
    with VectorEnvironment(config, 64, 0, "test", 2, annotator_images=True) as env:
        back = env.restore([1, 1], taken)
    for name, value in rows[-1].items():
        assert np.array_equal(value, back[name]), name


def test_a_wrong_cartridge_is_named_with_its_size_and_what_is_expected(made):
    with pytest.raises(SenseiError) as error:
        made({"rom_sha1": cartridge.SHA1})
    for part in ("default_rom.gb", "32768 bytes", cartridge.NAME, "1048576 bytes", cartridge.SHA1, "rom_sha1"):
        assert part in str(error.value)


def test_what_is_not_there_is_named(made, monkeypatch, tmp_path):
    with pytest.raises(SenseiError, match="no saved game to start from"):
        made({"start": "saved_game"})
    monkeypatch.setenv(cartridge.ROM, str(tmp_path / "none.gb"))
    with pytest.raises(SenseiError, match="no cartridge"):
        made()
    monkeypatch.delenv(cartridge.ROM)
    with pytest.raises(SenseiError, match=cartridge.ROM):
        made()


def test_a_file_that_is_no_saved_game_is_refused_in_words(made, monkeypatch, tmp_path):
    (tmp_path / "bad.state").write_bytes(b"\x09" * 100)
    monkeypatch.setenv(cartridge.STATE, str(tmp_path / "bad.state"))
    with pytest.raises(SenseiError, match="cannot be read"):
        made({"start": "saved_game"})
