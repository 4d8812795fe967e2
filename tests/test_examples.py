"""examples/ runs as it stands: scripts and notebook, on the released agents, in a copy of the folder."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import imageio.v2 as imageio
import nbformat
import pandas as pd
import pytest
from helpers import ROOT, environment
from nbclient import NotebookClient
from PIL import Image

import sensei
from sensei.study.export import unpack

EXAMPLES = ROOT / "examples"
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A working folder with a copy of examples/."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(EXAMPLES, folder / "examples", ignore=shutil.ignore_patterns("*.mp4", "__pycache__"))
    return folder


def ran(folder: Path, *words: str) -> str:
    """What a script says."""
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=True, timeout=300).stdout


def test_agents_are_watched(folder):
    said = ran(folder, "examples/play.py")
    assert said.count("key_picked_up") == 3
    for name in ("explore", "task", "learned"):
        assert len(imageio.mimread(folder / "examples" / f"{name}.mp4", memtest=False)) > 2


def test_a_world_model_dreams(folder):
    assert "squared error" in ran(folder, "examples/dream.py")
    assert (folder / "examples" / "dream.mp4").stat().st_size > 1000 and (folder / "examples" / "dream.csv").exists()


def test_pictures_of_ones_own_are_scored(folder):
    assert "rewards" in ran(folder, "examples/score.py")
    table = pd.read_csv(folder / "examples" / "scores.csv")
    held = table.index[table.picture.fillna("").str.contains("key picked up|key_picked_up")][0]
    assert table.reward[held:].mean() > table.reward[:held].mean(), "the reward does not know that the key is held"
    (folder / "own").mkdir()
    for number in range(2):
        Image.new("RGB", (64, 64), (number * 100, 0, 0)).save(folder / "own" / f"{number}.png")
    assert "2 pictures" in ran(folder, "examples/score.py", "own", "--key-held")


@pytest.mark.timeout(600)
def test_the_notebook_runs_and_says_what_it_says(folder):
    notebook = nbformat.read(folder / "examples" / "walkthrough.ipynb", as_version=4)
    assert all(cell.outputs for cell in notebook.cells if cell.cell_type == "code" and "print(" in cell.source), (
        "it was saved without outputs"
    )
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(folder / "examples")}}).execute()
    said = "".join(output.get("text", "") for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs)
    assert "rank correlation of both: 0." in said and "over 10 episodes" in said


@pytest.mark.parametrize(
    "name, room, task, score, steps",
    [
        ("keyroom_s5", "minihack_keyroom_s5", "keyroom_s5", 0.9, 12_000),
        ("keyroom_s15", "minihack_keyroom_s15", "keyroom", 0.0, 12_000),
        ("robodesk", "robodesk", "open_drawer_medium", 0.0, 2_000),
    ],
)
def test_a_released_agent_is_what_its_card_says(tmp_path, name, room, task, score, steps):
    root = unpack(EXAMPLES / f"{name}.tar.gz", tmp_path).root
    cards = {path.parent.relative_to(root).parts[1]: path.read_text() for path in root.rglob("README.md")}
    assert set(cards) == {"explore", "learn"}
    assert float(re.search(r"Score, mean of the last 3 evaluations: (\d\.\d+)", cards["learn"])[1]) >= score
    agent = sensei.load_agent(root / room / "learn" / task / "sensei" / "seed0")
    assert agent.task == task and agent.step >= steps
    assert len(list(sensei.play(agent, episodes=1, seed=0))) > 1
