"""What an environment is found to give: real ones, from a user's folder, without a display."""

import os

import pytest
from helpers import run_python

MAZE = """
import gymnasium
import numpy as np


class Maze(gymnasium.Env):
    observation_space = gymnasium.spaces.Box(0, 255, (40, 40, 3), np.uint8)
    action_space = gymnasium.spaces.Discrete(3)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps = 0
        return self.picture(), {"events": {"turned": 0}}

    def step(self, action):
        self.steps += 1
        return self.picture(), 0.0, self.steps > 20, False, {"events": {"turned": int(action == 2)}}

    def picture(self):
        return np.full((40, 40, 3), self.steps, np.uint8)


class Restless(Maze):
    def picture(self):
        return np.random.randint(0, 255, (40, 40, 3), np.uint8)
"""


@pytest.fixture
def check_env(tmp_path):
    """Run the command in a folder with a file of the user's; (exit code, finding -> its line, what was said of an error)."""
    (tmp_path / "maze.py").write_text(MAZE)

    def run(name: str) -> tuple[int, dict[str, str], str]:
        result = run_python("-m", "sensei", "check-env", name, cwd=tmp_path)
        return result.returncode, {line.split()[1]: line for line in result.stdout.splitlines()[1:]}, result.stderr

    return run


def test_a_room_of_ours_lacks_nothing(check_env):
    code, found, _ = check_env("minihack_keyroom_s5")
    assert code == 0 and len(found) == 8
    assert all(line.startswith("ok ") for line in found.values())


def test_a_class_in_the_users_folder_is_played_and_what_it_lacks_has_its_price(check_env):
    code, found, _ = check_env("maze:Maze")
    assert code == 0
    assert {what for what, line in found.items() if line.startswith("costs")} == {"picture", "flags", "events", "oracle"}
    assert "needs 52 x 52 pixels" in found["picture"] and "an episode of 21 random steps" in found["contract"]


def test_episodes_that_differ_under_one_seed_are_told(check_env):
    code, found, said = check_env("maze:Restless")
    assert code == 2 and "contract" not in found
    assert "two values under seed 0" in said and len(said.splitlines()) <= 2


@pytest.mark.parametrize(
    "name, said", [("Nope-v0", "`Nope` doesn't exist"), ("nope:Maze", "No module named 'nope'"), ("no.yaml", "no.yaml")]
)
def test_what_is_no_environment_is_an_error_of_two_lines(check_env, name, said):
    code, _, error = check_env(name)
    assert code == 2 and said in error and len(error.splitlines()) <= 2


@pytest.mark.slow
def test_mujoco_draws_without_a_display(check_env, monkeypatch):
    for variable in ("DISPLAY", "MUJOCO_GL"):
        monkeypatch.delenv(variable, raising=False)
    assert "MUJOCO_GL" not in os.environ
    code, found, said = check_env("Hopper-v5")
    if "cannot draw" in said:
        pytest.skip("no OpenGL here")
    assert code == 0, said
    assert "480 x 480" in found["picture"] and "(3,)" in found["actions"]


def test_a_game_drawn_by_sdl_complains_of_no_screen_and_no_sound_card(tmp_path, monkeypatch):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER"):
        monkeypatch.delenv(name, raising=False)
    result = run_python("-m", "sensei", "check-env", "CartPole-v1", cwd=tmp_path)
    assert result.returncode == 0 and "ok    picture   annotators see 400 x 600 pixels" in result.stdout
    assert result.stderr == ""
