"""Semantic reward along one episode: which episode, which of its steps, and that it is the one that was collected."""

import numpy as np
import pandas as pd
import pytest
from fakes.analysis_tree import make_study, write_study

from sensei.analysis.figures.registry import figure
from sensei.analysis.figures.semantic_reward import choose
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout

KEYROOM = "minihack_keyroom_s15"


def test_the_episode_with_the_most_different_events_is_taken(study):
    events = study.settings[KEYROOM].environment.events
    counts = np.array([[9, 0, 0, 0], [1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0]])
    table = pd.DataFrame(counts, columns=events).assign(worker=[0, 0, 1, 1], episode=[0, 1, 0, 1], length=[5, 90, 70, 3])
    table["finished"] = True
    assert choose(table, events) == "worker01-000000.npz"
    assert choose(table.assign(finished=[True, True, False, True]), events) == "worker00-000001.npz"
    with pytest.raises(SenseiError, match="explore_steps"):
        choose(table.assign(length=0), events)


def test_start_first_events_and_end_are_marked(study, layout, drawn):
    drawing = drawn("semantic_reward", study, layout)
    marked = drawing.numbers.dropna(subset="mark").set_index("step")["mark"]
    assert marked.to_dict() == {0: "start", 8: "key picked up", 20: "door opened", 39: "end"}
    assert len(drawing.figure.axes) == 1 + len(marked)
    curve = drawing.figure.subfigs[0].axes[0].lines[0]
    np.testing.assert_allclose(curve.get_ydata(), drawing.numbers["semantic_reward"])


@pytest.fixture
def spoiled(tmp_path):
    """A study of which a file may be spoiled."""
    study, layout = make_study(seeds=(0,)), Layout(tmp_path)
    write_study(study, layout)
    return study, layout


def test_an_episode_that_is_not_the_collected_one_is_named(spoiled, drawn):
    study, layout = spoiled
    for path in layout.collect(KEYROOM, 0).episodes.iterdir():
        content = path.read_bytes()
        path.unlink()  # else the run's own file changes with it
        path.write_bytes(content + b"\0")
    with pytest.raises(SenseiError, match=r"worker.*is not the one that .*index.parquet names"):
        drawn("semantic_reward", study, layout)


@pytest.mark.parametrize("name", ["models", "events", "indices"])
def test_missing_and_damaged_inputs_are_named(name, spoiled, drawn):
    study, layout = spoiled
    (path,) = figure("semantic_reward").inputs(study, layout)[name]
    path.write_bytes(b"half")
    with pytest.raises(SenseiError, match=path.name):
        drawn("semantic_reward", study, layout)
    path.unlink()
    with pytest.raises(SenseiError, match=path.name):
        drawn("semantic_reward", study, layout)
