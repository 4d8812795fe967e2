"""What docs/extending.md adds, all five in one study, beside the Snakefile of a checkout: planned, and its stage run for real."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from fakes.guide import shown, write
from helpers import ROOT, planned, run_python, snakemake

from sensei.study.layout import Layout, manifest_of

STUDY = "config/mine.yaml"
TABLE = "results/mine/corridor/first_times.csv"
SHORT = ("--configfile", STUDY, "--config", 'explore=["random"]', 'learn=["dreamerv3"]', "seeds=[0, 1]")


@pytest.fixture
def checkout(tmp_path) -> Path:
    """A checkout with the files of the guide; no file of its own is edited."""
    folder = tmp_path / "checkout"
    for name in ("sensei", "workflow", "config", "envs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Snakefile", folder)
    write(folder)
    return folder


def test_a_study_that_names_all_five_is_planned(checkout):
    jobs = planned(snakemake("-n", "--configfile", STUDY, cwd=checkout))
    study = yaml.safe_load(shown(STUDY))
    assert (jobs["explore"], jobs["learn"], jobs["figure"]) == (len(study["explore"]), len(study["learn"]), len(study["figures"]))
    assert jobs["annotate"] == len(study["annotators"]) and jobs["first_times"] == len(study["environments"])


@pytest.mark.slow
def test_its_stage_is_run_by_its_rule_and_by_hand_and_made_again_when_its_code_changes(checkout):
    made = snakemake(TABLE, "--cores", "2", *SHORT, cwd=checkout)
    assert made.returncode == 0, made.stdout + made.stderr
    table = pd.read_csv(checkout / TABLE)
    assert table["event"].tolist() == 2 * ["end_reached", "environment_reward"]
    files = Layout(checkout / "results" / "mine")
    for seed, steps in table.groupby("seed"):
        episodes = pd.read_parquet(files.explore("corridor", "random", seed).events)
        reached = episodes["last_step"][episodes["end_reached"] > 0]
        np.testing.assert_array_equal(steps["step"], 2 * [reached.iloc[0]])

    manifest = json.loads(manifest_of(checkout / TABLE).read_text())
    assert (manifest["stage"], manifest["settings"]) == ("first_times", {"events": ["end_reached", "environment_reward"]})
    assert set(manifest["inputs"]) == {"../study.yaml", *(f"explore/random/seed{seed}/events.parquet" for seed in (0, 1))}

    before = (checkout / TABLE).read_bytes()
    (checkout / TABLE).unlink()
    arguments = ("run", "first_times:FirstTimes", "--study", files.study.relative_to(checkout), "--environment", "corridor")
    by_hand = run_python("-m", "sensei", *arguments, cwd=checkout)
    assert by_hand.returncode == 0 and (checkout / TABLE).read_bytes() == before, by_hand.stderr

    assert planned(snakemake(TABLE, "-n", *SHORT, cwd=checkout)) == {}
    module = checkout / "first_times.py"
    module.write_text(module.read_text().replace('"""Say', '"""Tell') + "# a remark\n")
    assert planned(snakemake(TABLE, "-n", *SHORT, cwd=checkout)) == {}
    module.write_text(module.read_text().replace('["method"', '["way"'))
    assert planned(snakemake(TABLE, "-n", *SHORT, cwd=checkout)) == {"first_times": 1}
