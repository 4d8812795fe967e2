"""The tidy table: what is in it, and what a missing or damaged run gets."""

import pandas as pd
import pytest
from fakes.analysis_tree import EXPLORE, LEARN, make_study, write_runs

from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import COLUMNS, inputs, interactions, read_scores, tabulate, task_rewards
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout

KEYROOM = "minihack_keyroom_s15"


@pytest.fixture
def layout(tmp_path):
    layout = Layout(tmp_path)
    write_runs(make_study(), layout)
    return layout


def test_what_is_read_is_what_is_declared(layout, opened):
    study = make_study()
    table = tabulate(study, layout, layout.scores)
    assert {path for path in opened if path.is_relative_to(layout.root) and path.parent != layout.root} == set(
        Inputs(inputs(study, layout)).paths()
    )
    pd.testing.assert_frame_equal(read_scores(layout.scores), table)


def test_figures_count_what_the_family_says():
    robodesk = make_study(("robodesk",)).settings["robodesk"].environment
    assert interactions(robodesk)["buttons"] == ["red_button_moved", "green_button_moved", "blue_button_moved"]
    assert task_rewards(robodesk)["stack"] == ["task_stack"] and len(task_rewards(robodesk)) == 21
    keyroom = make_study().settings[KEYROOM].environment
    assert interactions(keyroom) == {event: [event] for event in keyroom.events} and task_rewards(keyroom) == {}


def test_totals_of_an_exploration_run(layout):
    table = tabulate(make_study(), layout, layout.scores)
    assert list(table.columns) == COLUMNS
    events = pd.read_parquet(layout.explore(KEYROOM, "vlm_motif", 1).events)
    run = table[(table["task"] == "explore") & (table["method"] == "vlm_motif") & (table["seed"] == 1)].set_index("metric")
    assert run.loc["key_picked_up", "value"] == events["key_picked_up"].sum()  # the unfinished episode counts
    assert run.loc["episodes", "value"] == 4
    assert run.loc["semantic_return", "value"] == pytest.approx(events["semantic_return"].sum())
    assert set(run["step"]) == {20_000}


def test_evaluations_of_a_task_run(layout):
    table = tabulate(make_study(), layout, layout.scores)
    run = table[(table["task"] == "keyroom") & (table["method"] == "ppo") & (table["seed"] == 0)]
    scores = run[run["metric"] == "score"]
    assert list(scores["step"]) == list(range(1000, 12_001, 1000))
    final = run[run["metric"] == "final_score"]
    assert final["value"].tolist() == [pytest.approx(scores["value"].tail(3).mean())]
    assert final["step"].tolist() == [12_000]


def test_every_axis_is_there(layout):
    table = tabulate(make_study(), layout, layout.scores)
    assert set(map(tuple, table[["task", "method", "seed"]].drop_duplicates().to_numpy())) == {
        *(("explore", method, seed) for method in EXPLORE for seed in (0, 1, 2)),
        *(("keyroom", method, seed) for method in LEARN for seed in (0, 1, 2)),
    }


def test_without_a_reward_model_there_is_no_semantic_return(layout):
    path = layout.explore(KEYROOM, "plan2explore", 0).events
    pd.read_parquet(path).assign(semantic_return=float("nan")).to_parquet(path)
    table = tabulate(make_study(), layout, layout.scores)
    run = table[(table["method"] == "plan2explore") & (table["seed"] == 0) & (table["task"] == "explore")]
    assert "semantic_return" not in set(run["metric"])
    assert table["value"].notna().all()


def test_one_message_names_every_missing_and_damaged_run(layout):
    layout.explore(KEYROOM, "sensei", 2).events.unlink()
    layout.explore(KEYROOM, "random", 0).events.write_bytes(b"PAR1 no more")
    layout.learn(KEYROOM, "keyroom", "ppo", 1).metrics.write_text('{"step": 1, "evalua')
    layout.learn(KEYROOM, "keyroom", "sensei", 0).metrics.write_text('{"step": 1}\n')
    with pytest.raises(SenseiError) as error:
        tabulate(make_study(), layout, layout.scores)
    message = str(error.value)
    for part in (
        "4 run",
        "explore/sensei/seed2/events.parquet is missing",
        "explore/random/seed0",
        "ppo/seed1",
        "line 1",
        "learn/keyroom/sensei/seed0",
    ):
        assert part in message
    assert "seed2/metrics" not in message


def test_a_run_that_counted_other_events_is_named(layout):
    path = layout.explore(KEYROOM, "sensei", 0).events
    pd.read_parquet(path).drop(columns="door_opened").to_parquet(path)
    with pytest.raises(SenseiError, match="door_opened"):
        tabulate(make_study(), layout, layout.scores)


def test_reading_scores(tmp_path):
    path = tmp_path / "scores.parquet"
    with pytest.raises(SenseiError, match="no .*scores.parquet"):
        read_scores(path)
    path.write_bytes(b"half")
    with pytest.raises(SenseiError, match="damaged"):
        read_scores(path)
    pd.DataFrame({"a": [1]}).to_parquet(path)
    with pytest.raises(SenseiError, match="expected environment"):
        read_scores(path)
