"""The page: self-contained, with everything on it, the same again; and nothing read that it does not declare."""

import base64
import json
import re
from html.parser import HTMLParser

import pytest
from fakes.analysis_tree import make_study, write_study

from sensei.analysis import report, tables
from sensei.analysis.figures.contract import make
from sensei.analysis.figures.registry import figures_of
from sensei.analysis.inputs import Inputs
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout, manifest_of


@pytest.fixture(scope="module")
def study():
    return make_study(("minihack_keyroom_s15", "minihack_keychest"), figures=["interactions", "reward_model"])


@pytest.fixture(scope="module")
def layout(tmp_path_factory, study):
    layout = Layout(tmp_path_factory.mktemp("results"))
    write_study(study, layout)
    for figure in figures_of(study).values():
        make(figure, study, figure.inputs(study, layout), layout.figure(figure.name))
        manifest_of(layout.figure(figure.name)[1]).write_text(json.dumps({"stage": "figure", "note": "</pre><script>alert(1)</script>"}))
    tables.make(study, layout)
    manifest_of(layout.scores).write_text(json.dumps({"stage": "tabulate"}))
    manifest_of(layout.report).write_text(json.dumps({"stage": "of an earlier page"}))
    return layout


@pytest.fixture(scope="module")
def page(study, layout):
    return report.build(study, layout)


def test_what_is_read_is_declared_or_the_manifest_of_it(study, layout, opened):
    report.build(study, layout)
    declared = Inputs(report.inputs(study, layout)).paths()
    read = {path for path in opened if path.is_relative_to(layout.root)}
    manifests = {manifest_of(path) for path in declared if manifest_of(path).exists()}
    assert read - manifests <= set(declared)
    assert manifests <= read


class Page(HTMLParser):
    """Collects tags, their sources and the text; complains about tags that are not closed in order."""

    VOID = {"meta", "img", "br"}

    def __init__(self, html):
        super().__init__()
        self.open, self.sources, self.tags, self.text = [], [], [], ""
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.sources += [value for key, value in attributes if key in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_page_is_self_contained(page):
    parsed = Page(page)
    assert all(source.startswith(("data:image/png;base64,", "data:video/mp4;base64,", "#")) for source in parsed.sources)
    assert not re.search(r"https?://|@import|url\(", re.sub(r"base64,[A-Za-z0-9+/=]+", "", page))
    assert "script" not in parsed.tags


def test_page_shows_everything(study, layout, page):
    parsed = Page(page)
    assert parsed.tags.count("img") == len(study.figures)
    assert parsed.tags.count("video") == len(study.environments) * (len(study.explore) + len(study.learn))
    figure = base64.b64encode(layout.figure("interactions")[1].read_bytes()).decode()
    assert figure in page
    for text in ("KeyRoom-S15", "KeyChest", "20,000 steps", "3 seeds", "95 % interval", "SENSEI (released gate)", "scores.parquet", "96.2"):
        assert text in parsed.text, text
    assert '"stage": "tabulate"' in parsed.text
    assert "of an earlier page" not in parsed.text


def test_text_is_escaped(page):
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "<b>oracle</b>" not in page and "&lt;b&gt;oracle&lt;/b&gt;" in page


def test_page_is_the_same_again(study, layout, page):
    assert report.build(study, layout) == page


def test_missing_files_are_named_together(study, tmp_path):
    layout = Layout(tmp_path)
    write_study(study, layout)
    layout.explore("minihack_keychest", "random", 0).video.unlink()
    with pytest.raises(SenseiError) as error:
        report.build(study, layout)
    for part in ("figures/interactions.png", "tables/learn.csv", "minihack_keychest/explore/random/seed0/video.mp4"):
        assert part in str(error.value)
