"""Every published figure and table, and their page, by the workflow: no study, no training."""

import html
import re

import pytest
from helpers import snakemake

from sensei.analysis import style
from sensei.analysis.figures.registry import published as published_figures
from sensei.study.layout import published_figure


@pytest.mark.slow
def test_published_values_make_figures_tables_and_one_page_without_a_study(tmp_path):
    result = snakemake("published", "--cores", "1", cwd=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert {path.name for path in (tmp_path / "results").iterdir()} == {"published"}
    folder = tmp_path / "results" / "published"
    written = {path.name: path for path in folder.iterdir()}
    assert {
        "labels.png",
        "reward_models.csv",
        "logged_interactions.pdf",
        "training_losses.pdf",
        "table1.csv",
        "table1.md",
    } <= written.keys()
    assert all(path.stat().st_size > 100 for path in written.values())
    page = written["report.html"].read_text()
    for number in published_figures():
        assert all(path.exists() for path in published_figure(number, folder)), number
        assert style.read_caption(published_figure(number, folder)[1])[:80] in html.unescape(page), number
    assert "Fig. 13" in style.read_caption(written["fig13.png"])
    assert "0.85" in page and "1202 x 1080" in page  # Table 1, and the hyper-parameters
    assert not re.search(r"https?://|src=\"(?!data:)", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
