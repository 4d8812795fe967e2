"""A study in which nobody follows a semantic reward needs nobody who labels."""

import pytest
import yaml
from helpers import ROOT, planned, snakemake

from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.study.load import load_study
from sensei.study.slices import figures_of

UNLABELLED = {"explore": ["plan2explore", "random"], "learn": ["plan2explore", "dreamerv3"], "figures": ["interactions", "learn"]}


def changed(**changes) -> dict:
    """The toy study without annotators."""
    content = read_yaml(ROOT / "tests" / "fakes" / "toys.yaml") | UNLABELLED | changes
    content.pop("annotators")
    content["training"] = content["training"] | {"own_steps": {}}
    return content


@pytest.fixture
def study(tmp_path):
    """Write the study; its file."""

    def write(**changes):
        file = tmp_path / "unlabelled.yaml"
        file.write_text(yaml.safe_dump(changed(**changes)))
        return file

    return write


def test_a_method_that_follows_labels_is_refused_without_them():
    with pytest.raises(
        SenseiError, match="method sensei follows a semantic reward, and nobody labels frames of .*; name one in `annotators`"
    ):
        load_study(changed(explore=["plan2explore", "sensei"]))


@pytest.mark.parametrize("figure", ["labels", "semantic_reward", "reward_model", "reward_generations"])
def test_a_figure_of_labels_is_refused_without_them(figure):
    with pytest.raises(SenseiError, match=f"figure {figure} draws labels or reward models, and nobody labels"):
        figures_of(load_study(changed(figures=["learn", figure])))


def test_the_number_of_pairs_is_nobodys_affair_where_nobody_labels():
    assert load_study(changed(pairs={"number": 10**6})).labelled() == []


def test_nothing_is_gathered_labelled_or_distilled(study, tmp_path):
    explored = learned = 2 * len(load_study(changed()).environments) * len(load_study(changed()).seeds)
    jobs = planned(snakemake("-n", "--configfile", study(), cwd=tmp_path))
    assert jobs == {"explore": explored, "learn": learned, "tabulate": 1, "figure": 2, "tables": 1, "report": 1, "all": 1}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_such_a_study_runs_to_its_page(study, tmp_path):
    result = snakemake("--cores", "2", "--configfile", study(seeds=[0], environments=["toy_keydoor"]), cwd=tmp_path, timeout=600)
    assert result.returncode == 0, result.stdout + result.stderr
    page = (tmp_path / "results" / "toys" / "report.html").read_text()
    assert "Plan2Explore" in page and "DreamerV3" in page
    assert not {"pairs", "labels", "reward", "collect"} & {path.name for path in (tmp_path / "results" / "toys" / "toy_keydoor").iterdir()}
    assert planned(snakemake("-n", "--configfile", tmp_path / "unlabelled.yaml", cwd=tmp_path)) == {}
