"""Another workflow uses this one as a module, from another folder, with a study of its own."""

import subprocess
import sys

import pytest
import yaml
from helpers import ROOT, environment, planned

from sensei.core.yaml import read_yaml

OUTER = """
configfile: "study.yaml"


module sensei:
    snakefile:
        "{snakefile}"
    config:
        config


use rule * from sensei as sensei_*


rule count:
    default_target: True
    input:
        rules.sensei_figures.input,
    output:
        "summary.txt",
    shell:
        "ls {{input}} > {{output}}"
"""


@pytest.fixture
def outer(tmp_path):
    """The other workflow: run Snakemake there, without a profile of ours."""
    study = read_yaml(ROOT / "tests" / "fakes" / "toys.yaml") | {"explore": ["random"], "learn": ["ppo"], "figures": ["interactions"]}
    study = {key: value for key, value in study.items() if key != "annotators"}
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(study))
    (tmp_path / "Snakefile").write_text(OUTER.format(snakefile=ROOT / "workflow" / "Snakefile"))

    def run(*words):
        command = [sys.executable, "-m", "snakemake", "--cores", "2", *words]
        return subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)

    return run


def test_the_study_is_that_of_the_other_workflow_and_is_checked(outer, tmp_path):
    assert planned(outer("-n")) == {"sensei_explore": 1, "sensei_tabulate": 1, "sensei_learn": 1, "sensei_figure": 1, "count": 1}
    assert not (tmp_path / "results").exists()
    (tmp_path / "study.yaml").write_text((tmp_path / "study.yaml").read_text() + "sedes: [0]\n")
    refused = outer("-n")
    assert refused.returncode == 1 and "Error: the module's config: unknown key `sedes`" in refused.stderr + refused.stdout


@pytest.mark.slow
def test_it_is_made_in_the_other_workflows_folder(outer, tmp_path):
    made = outer()
    assert made.returncode == 0, made.stderr
    assert "results/toys/figures/interactions.pdf" in (tmp_path / "summary.txt").read_text()
    assert (tmp_path / "results" / "toys" / "study.yaml").exists()
