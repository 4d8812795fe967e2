"""Every ablation that two cores carry, for real and end to end, with a few steps in each job.

Without more only those below run; `ABLATIONS=all`, or names with commas between them, runs others.
"""

import os
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from helpers import ROOT, planned, snakemake
from PIL import Image

from sensei.bench.openai_server import running
from sensei.envs.registry import make
from sensei.study.graph import work
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study, read_layers

SIBLINGS = sorted(path.stem for path in (CONFIG_FOLDER / "ablations").glob("*_laptop.yaml"))
USUAL = ("gates_laptop",)
CHOSEN = os.environ.get("ABLATIONS", ",".join(USUAL))
OVERLAY = ROOT / "tests" / "fakes" / "reduced.yaml"
MODELS = "gpt-4o-2024-05-13,gpt-4-turbo-2024-04-09"


def bring_episodes(folder: Path, steps: int = 12) -> None:
    """Robodesk as another program may have kept it, its states and nothing else: in one of three episodes the arm reaches the blocks."""
    config = load_study(CONFIG_FOLDER / "ablations" / "data_laptop.yaml").settings["robodesk"].environment
    env = make(config, 40)
    folder.mkdir(parents=True)
    for number, aside in enumerate((-1, 0, 1)):
        env.reset(seed=number)
        states = [env.step(np.array([aside, 1, -1, 1, -1], np.float32))[-1]["state"] for _ in range(steps)]
        rows = np.array([list(state.values()) for state in states], np.float32)
        np.savez_compressed(folder / f"episode{number}.npz", state=rows, state_names=np.array(list(states[0])))
    env.close()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", SIBLINGS if CHOSEN == "all" else CHOSEN.split(","))
def test_an_ablation_runs_to_its_page(name, tmp_path, monkeypatch):
    file = CONFIG_FOLDER / "ablations" / f"{name}.yaml"
    study = load_study(read_layers([file, OVERLAY], {}), name)
    if any(options.episodes for options in study.annotator_settings.values()):
        bring_episodes(tmp_path / "data" / "robodesk_ceeus")
    with running(models=MODELS) as address:
        monkeypatch.setenv("OPENAI_BASE_URL", address)
        monkeypatch.setenv("OPENAI_API_KEY", "none")
        options = "--configfile", file, OVERLAY
        result = snakemake("--cores", os.environ.get("ABLATION_CORES", "2"), *options, cwd=tmp_path, timeout=3600)
        assert result.returncode == 0, result.stdout[-3000:] + result.stderr[-3000:]
        assert planned(snakemake("-n", *options, cwd=tmp_path)) == {}
    files = Layout(tmp_path / "results" / study.study)
    made = Counter(one.stage.name for one in work(study, files))
    assert made["explore"] >= len(study.explore) and made["figure"] == len(study.figures)
    assert files.report.stat().st_size > 10_000
    for figure in study.figures:
        picture = np.asarray(Image.open(files.figure(figure)[1]).convert("L"))
        assert picture.std() > 5, f"figure {figure} is empty"
        assert files.figure(figure)[2].read_text().count("\n") > 1, f"figure {figure} drew no numbers"
