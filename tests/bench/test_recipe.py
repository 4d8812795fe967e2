"""What an option is worth is found by real runs: with the recipe, without the option, and with it alone."""

import json

import numpy as np
import pytest
from helpers import ROOT, run_python

from sensei.analysis.statistics import difference_interval

WORDS = (
    "-m",
    "sensei",
    "bench",
    "recipe",
    "--study",
    ROOT / "tests" / "fakes" / "toys.yaml",
    "--env",
    "toy_counting",
    "--method",
    "random",
)


@pytest.mark.slow
def test_every_recipe_is_run_with_every_seed_once_and_compared(tmp_path):
    options = "--option", "training.workers", "--alone", "--seed", "0", "--seed", "1", "--cores", "2"
    words = *WORDS, *options, "--folder", tmp_path / "runs", "--json", tmp_path / "result.json"
    done = run_python(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "result.json").read_text())
    totals, differences = result["totals"], result["differences"]
    assert totals["whole"] == totals["alone_training.workers"] != totals["none"] == totals["without_training.workers"]
    assert all(len(values) == 2 for values in totals["whole"].values())
    for metric, values in totals["whole"].items():
        without, found = totals["without_training.workers"][metric], differences["without_training.workers"][metric]
        assert found["mean"] == pytest.approx(np.mean(without) - np.mean(values), rel=1e-3)  # four digits are printed
        assert differences["alone_training.workers"][metric]["mean"] == pytest.approx(-found["mean"])
        if "low" in found:
            assert (found["low"], found["high"]) == pytest.approx(difference_interval(np.array([without]), np.array([values])), rel=1e-3)
    made = {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("agent.pt")}
    assert len(made) == 8
    assert run_python(*words, cwd=tmp_path).returncode == 0
    assert made == {path: path.stat().st_mtime_ns for path in (tmp_path / "runs").rglob("agent.pt")}


@pytest.mark.parametrize(
    "wrong, said",
    [
        (("--option", "behaviour.entropie"), "does not set behaviour.entropie"),
        (("--option", "training.prefill", "--method", "sensei", "--seed", "0"), "reward"),
    ],
)
def test_what_cannot_be_tried_is_said(wrong, said, tmp_path):
    done = run_python(*WORDS, *wrong, "--folder", tmp_path / "runs", cwd=tmp_path)
    assert done.returncode == 2 and said in done.stderr and "Traceback" not in done.stderr
