"""Tables of final numbers against the table of scores, and what they declare."""

import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_study

from sensei.analysis import published, tables
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import read_scores
from sensei.study.layout import Layout


@pytest.fixture(scope="module")
def study():
    return make_study(("minihack_keyroom_s15", "minihack_keychest"))


@pytest.fixture(scope="module")
def layout(tmp_path_factory, study):
    layout = Layout(tmp_path_factory.mktemp("results"))
    write_study(study, layout)
    tables.make(study, layout)
    return layout


def test_what_is_read_is_what_is_declared(study, layout, opened):
    tables.make(study, layout)
    written = layout.table("learn")[0].parent
    read = {path for path in opened if path.is_relative_to(layout.root) and path.parent != written}
    assert read == set(Inputs(tables.inputs(study, layout)).paths())


def test_interactions_table(layout):
    table = pd.read_csv(layout.table("interactions")[0]).set_index(["environment", "event", "method"])
    scores = read_scores(layout.scores)
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


def test_learn_table(layout):
    table = pd.read_csv(layout.table("learn")[0]).set_index(["environment", "method"])
    scores = read_scores(layout.scores).query("metric == 'final_score'")
    ours, ppo = (scores[scores["method"] == name] for name in ("sensei", "ppo"))
    assert table.loc[(tables.ALL, "ppo"), "mean"] == pytest.approx(ppo["value"].mean())
    assert ours["value"].mean() == pytest.approx(table.loc[(tables.ALL, "sensei"), "mean"])


def test_reward_table_and_markdown(layout):
    table = pd.read_csv(layout.table("reward_model")[0])
    assert list(table["annotator"]) == ["oracle", "noisy_oracle"] * 2
    assert set(table["epoch"]) == {3} and set(table["accuracy_share"]) == {0.9625}
    lines = layout.table("reward_model")[1].read_text().splitlines()
    assert len(lines) == 2 + len(table) and len({line.count("|") for line in lines}) == 1
