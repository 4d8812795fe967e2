"""Tables and the report: right numbers, whole, self-contained and safe."""

import base64
import json
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_study

from sensei.analysis import published, tables
from sensei.analysis.figures import make
from sensei.analysis.report import build
from sensei.analysis.scores import read_scores
from sensei.core.errors import SenseiError


@pytest.fixture(scope="module")
def study():
    return make_study(("minihack_keyroom_s15", "minihack_keychest"), figures=["interactions", "reward_model"])


@pytest.fixture(scope="module")
def results(tmp_path_factory, study):
    folder = tmp_path_factory.mktemp("results")
    write_study(study, folder)
    for name in study.figures:
        make(name, study, folder, folder / "figures" / name)
        (folder / "figures" / f"{name}.png.manifest.json").write_text(
            json.dumps({"stage": "figure", "note": "</pre><script>alert(1)</script>"})
        )
    tables.make(study, folder, folder / "tables")
    (folder / "scores.parquet.manifest.json").write_text(json.dumps({"stage": "tabulate"}))
    (folder / "report.html.manifest.json").write_text(json.dumps({"stage": "of an earlier page"}))
    return folder


@pytest.fixture(scope="module")
def page(study, results):
    return build(study, results)


def test_interactions_table(study, results):
    table = pd.read_csv(results / "tables" / "interactions.csv").set_index(["environment", "event", "method"])
    scores = read_scores(results / "scores.parquet")
    row = table.loc["minihack_keyroom_s15", "door_opened", "sensei"]
    runs = scores[(scores["environment"] == "minihack_keyroom_s15") & (scores["metric"] == "door_opened") & (scores["method"] == "sensei")][
        "value"
    ]
    assert row["mean"] == pytest.approx(runs.mean()) and row["seeds"] == 3 and row["steps"] == 20_000
    assert row["standard_error"] == pytest.approx(runs.std(ddof=0) / 3**0.5)
    assert row["low"] <= row["mean"] <= row["high"]
    bar = published.bars(5).query("environment == 'keyroom' and metric == 'door_opened' and method == 'sensei'").iloc[0]
    assert (row["published_mean"], row["published_error"], row["published_steps"]) == (bar["mean"], bar["error"], 500_000)
    assert table.loc["minihack_keyroom_s15", "door_opened", "random"].isna()["published_mean"]
    assert len(table) == 2 * 4 * 5


def test_downstream_table(study, results):
    table = pd.read_csv(results / "tables" / "downstream.csv").set_index(["environment", "method"])
    scores = read_scores(results / "scores.parquet").query("metric == 'final_score'")
    ours, ppo = (scores[scores["method"] == name] for name in ("sensei", "ppo"))
    assert table.loc[(tables.ALL, "ppo"), "mean"] == pytest.approx(ppo["value"].mean())
    assert pd.isna(table.loc[(tables.ALL, "sensei"), "better"])
    keyroom = "minihack_keyroom_s15"
    pairs = [
        (a > b) + 0.5 * (a == b) for a in ours[ours["environment"] == keyroom]["value"] for b in ppo[ppo["environment"] == keyroom]["value"]
    ]
    assert table.loc[(keyroom, "ppo"), "better"] == pytest.approx(sum(pairs) / len(pairs))


def test_reward_table_and_markdown(study, results):
    table = pd.read_csv(results / "tables" / "reward_model.csv")
    assert list(table["annotator"]) == ["oracle", "noisy_oracle"] * 2
    assert set(table["epoch"]) == {3} and set(table["accuracy_share"]) == {0.9625}
    lines = (results / "tables" / "reward_model.md").read_text().splitlines()
    assert len(lines) == 2 + len(table) and len({line.count("|") for line in lines}) == 1


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


def test_page_shows_everything(study, results, page):
    parsed = Page(page)
    assert parsed.tags.count("img") == len(study.figures)
    assert parsed.tags.count("video") == len(study.environments) * (len(study.explore) + len(study.learn))
    figure = base64.b64encode((results / "figures" / "interactions.png").read_bytes()).decode()
    assert figure in page
    for text in ("KeyRoom-S15", "KeyChest", "20,000 steps", "3 seeds", "95 % interval", "SENSEI (released gate)", "scores.parquet", "96.2"):
        assert text in parsed.text, text
    assert '"stage": "tabulate"' in parsed.text
    assert "of an earlier page" not in parsed.text


def test_text_is_escaped(page):
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert "<b>oracle</b>" not in page and "&lt;b&gt;oracle&lt;/b&gt;" in page


def test_page_is_the_same_again(study, results, page):
    assert build(study, results) == page


def test_missing_files_are_named_together(study, tmp_path):
    write_study(study, tmp_path)
    (tmp_path / "minihack_keychest/explore/random/seed0/video.mp4").unlink()
    with pytest.raises(SenseiError) as error:
        build(study, tmp_path)
    for part in ("figures/interactions.png", "tables/downstream.csv", "minihack_keychest/explore/random/seed0/video.mp4"):
        assert part in str(error.value)
