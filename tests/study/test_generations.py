"""Several generations of reward models: labels of what SENSEI has seen, a model of all of them, and the run that goes on with it."""

import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from fakes.interrupted import Interrupted, count_steps
from fakes.small_study import CONTENT, ENVIRONMENT
from fakes.toys import agent_tensors, lines, toy_study

from sensei.core.errors import SenseiError
from sensei.core.files import read_json, sha256
from sensei.preferences.frames import Frames
from sensei.preferences.tables import SIDES, read_pairs
from sensei.replay.episodes import load_episode
from sensei.reward.scorer import RewardScorer
from sensei.study.export import export
from sensei.study.folder import check_folder, record_study
from sensei.study.graph import work
from sensei.study.layout import Layout, RunFiles
from sensei.study.load import load_study
from sensei.study.models.study import Study
from sensei.study.plan import plan
from sensei.study.stage import carry_out
from sensei.study.stages import STAGES
from sensei.study.status import status
from sensei.training import checkpoint, generations
from sensei.training.run import Run, exploration_run
from sensei.training.runs import explore

TWO = CONTENT | {
    "seeds": [0],
    "annotators": ["oracle"],
    "figures": ["interactions", "reward_model", "reward_generations"],
    "generations": 2,
    "relabel_pairs": 40,
}
RUN = ENVIRONMENT, "sensei", 0


def study_of(**changes: object) -> Study:
    """The small study with other keys."""
    return load_study(TWO | changes, "the test")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Study, Layout]:
    """The small study in two generations, every job of it carried out; do not change it."""
    study, files = study_of(), Layout(tmp_path_factory.mktemp("generations") / "results" / "small")
    record_study(study, files.study)
    for one in work(study, files):
        carry_out(one.stage, study, files.study, one.job)
    return study, files


@pytest.mark.slow
def test_the_jobs_follow_from_the_axes(finished):
    study, files = finished
    jobs = Counter((one.stage.name, one.job.generation) for one in work(study, files))
    again = {"collect": 1, "pairs": 1, "annotate": 2, "merge": 1, "trust": 1, "distil": 1}
    assert jobs == Counter(
        {("explore", "1"): 2, ("explore", "2"): 1, ("learn", "1"): 1}
        | {(name, generation): count for name, count in again.items() for generation in "12"}
        | {(name, "1"): count for name, count in {"tabulate": 1, "figure": 3, "tables": 1, "report": 1}.items()}
    )


@pytest.mark.slow
def test_further_pairs_are_of_what_sensei_has_seen(finished):
    _, files = finished
    made, seen = files.pairs(ENVIRONMENT, 2), files.explore(*RUN).episodes
    table, frames = read_pairs(made.pairs), Frames(made.frames)
    assert len(table) == 40 and len(read_pairs(files.pairs(ENVIRONMENT).pairs)) == 100
    for side in SIDES:
        for file, pairs in table.groupby(f"{side}file"):
            pictures = load_episode(seen / file)["annotator_image"]
            assert np.array_equal(frames.image[pairs[f"{side}frame"]], pictures[pairs[f"{side}time"]])


@pytest.mark.slow
def test_the_second_model_learns_from_the_labels_of_both(finished):
    _, files = finished
    for generation, count in ((1, 100), (2, 140)):
        card = read_json(files.reward(ENVIRONMENT, "oracle", generation).card)
        assert sum(card["pairs"].values()) == count
    distilled = next(one for one in work(*finished) if (one.stage.name, one.job.generation) == ("distil", "2"))
    gates = distilled.stage.waits_for(*finished, distilled.job)
    assert gates == [files.labels(ENVIRONMENT, "oracle", generation).verdict for generation in (1, 2)], "each answer passes its own gate"
    manifest = read_json(Path(f"{files.reward(ENVIRONMENT, 'oracle', 2).model}.manifest.json"))
    assert {name for name in manifest["inputs"] if "labels" in name} == {
        "../../labels/oracle/labels.parquet",
        "../../labels2/oracle/labels.parquet",
    }


@pytest.mark.slow
def test_the_second_run_goes_on_where_the_first_ended(finished):
    _, files = finished
    first, second = files.explore(*RUN), files.explore(*RUN, 2)
    before, after = (pd.read_parquet(run.events) for run in (first, second))
    assert (before["last_step"].max() // 10, after["last_step"].max() // 10) == (12, 24), "workers step at once"
    over = before[before["finished"]]
    pd.testing.assert_frame_equal(after.head(len(over)), over)
    assert lines(second.folder)[: len(lines(first.folder))] == lines(first.folder)
    assert {path.name for path in first.episodes.iterdir()} <= {path.name for path in second.episodes.iterdir()}
    assert not second.handed_on.exists() and not first.checkpoint.exists()
    assert read_json(Path(f"{second.agent}.manifest.json"))["settings"]["until"] == 240


@pytest.mark.slow
def test_tasks_tables_and_figures_are_of_the_last_generation(finished):
    study, files = finished
    scores, events = pd.read_parquet(files.scores), pd.read_parquet(files.explore(*RUN, 2).events)
    explored = scores[(scores["task"] == "explore") & (scores["method"] == "sensei")]
    assert set(explored["step"]) == {events["last_step"].max()}
    manifest = read_json(Path(f"{files.learn(ENVIRONMENT, 'keydoor', 'sensei', 0).agent}.manifest.json"))
    assert "../../../../explore2/sensei/seed0/agent.pt" in manifest["inputs"]
    drawn = pd.read_csv(files.figure("reward_model")[2])
    assert set(drawn["annotator"]) == {"oracle", "oracle_gen2"}
    compared = pd.read_csv(files.figure("reward_generations")[2])
    assert not np.allclose(compared["semantic_reward"], compared["first_reward_model"])
    page = files.report.read_text()
    assert "oracle gen2: labels" in page


@pytest.fixture
def second(finished, tmp_path) -> Run:
    """The second generation's run, in a folder of its own."""
    study, files = finished
    run = exploration_run(study, *RUN, tmp_path / "run")
    return replace(run, reward_model=files.reward(ENVIRONMENT, "oracle", 2).model, keep_episodes=True, before=files.explore(*RUN).folder)


@pytest.mark.slow
def test_every_step_of_the_replay_gets_the_new_reward_and_nothing_else_changes(finished, second):
    files = finished[1]
    generations.take_over(second)
    state, before = checkpoint.load(second.files.state, arrays=True), files.explore(*RUN).handed_on / "replay"
    replay, score = state["experience"]["replay"], RewardScorer.load(second.reward_model)
    now, old = ({path.stem: np.load(path) for path in folder.iterdir()} for folder in (second.files.replay, before))
    assert all(np.array_equal(now[name], old[name]) for name in now if name != "semantic")
    scored = 0
    for worker, (starts, count) in enumerate(zip(replay["starts"], replay["counts"], strict=True)):
        for number, (start, end) in enumerate(zip(starts, [*starts[1:], count], strict=True)):
            name = f"worker{worker:02d}-{number:06d}.npz"
            finished_one = second.files.episodes / name
            episode = load_episode(finished_one if finished_one.exists() else second.files.running_episode(120, worker))
            expected = score(episode["annotator_image"], episode["flags"])[: end - start]
            np.testing.assert_array_equal(now["semantic"][worker, start:end], expected)
            scored += end - start
    assert scored == sum(replay["counts"]) >= 120
    assert not np.array_equal(now["semantic"], old["semantic"])


@pytest.mark.slow
def test_a_replay_of_other_episodes_is_refused(finished, second, monkeypatch):
    monkeypatch.setattr(generations, "_episodes", lambda state, files, worker: [])
    with pytest.raises(SenseiError, match="no episode of worker 0 shows"):
        generations.take_over(second)


def go_on(run: Run) -> None:
    """Carry out the second generation."""
    segment = {"keep_episodes": True, "until": 240, "before": run.before}
    explore(study_of(), *RUN, run.folder, run.reward_model, **segment)


def assert_same_run(run: RunFiles, other: RunFiles) -> None:
    for path, expected in zip(run.outputs, other.outputs, strict=True):
        assert sha256(path) == sha256(expected), path.name


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [5, 45], ids=["before its first checkpoint", "after it"])
def test_a_killed_generation_equals_the_undisturbed_one(finished, second, stop_at):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, stop_at)
        go_on(second)
    assert second.files.state.exists() and not second.files.agent.exists()
    go_on(second)
    assert_same_run(second.files, finished[1].explore(*RUN, 2))


@pytest.mark.slow
def test_a_generation_killed_while_it_takes_over_equals_the_undisturbed_one(finished, second):
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        patch.setattr(generations, "relabel", lambda *arguments: (_ for _ in ()).throw(Interrupted))
        go_on(second)
    assert second.files.replay.exists() and not second.files.state.exists()
    go_on(second)
    assert_same_run(second.files, finished[1].explore(*RUN, 2))


@pytest.mark.slow
def test_a_run_in_two_parts_each_of_them_killed_once_is_the_run_in_one(tmp_path):
    """Nothing but the reward tells generations apart, and Plan2Explore has none."""
    study, run = toy_study(), ("toy_counting", "plan2explore", 0)
    whole, first, second = (RunFiles(tmp_path / name) for name in ("whole", "first", "second"))
    explore(study, *run, whole.folder, keep_episodes=True)
    for part in (
        lambda: explore(study, *run, first.folder, keep_episodes=True, until=100, goes_on=True),
        lambda: explore(study, *run, second.folder, keep_episodes=True, before=first.folder),
    ):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
            count_steps(patch, 40)
            part()
        part()
    tensors, others = agent_tensors(whole.folder), agent_tensors(second.folder)
    assert [name for name, tensor in tensors.items() if not tensor.equal(others[name])] == []
    for path, other in ((whole.metrics, second.metrics), (whole.events, second.events), (whole.video, second.video)):
        assert sha256(path) == sha256(other)
    assert {path.name: sha256(path) for path in whole.episodes.iterdir()} == {path.name: sha256(path) for path in second.episodes.iterdir()}


@pytest.mark.slow
def test_a_damaged_state_is_not_gone_on_with(finished, tmp_path):
    study, files = finished
    path = files.explore(*RUN).handed_on / "replay" / "action.npy"
    content, job = (
        path.read_bytes(),
        next(one.job for one in work(study, files) if one.job.generation == "2" and one.stage.name == "explore"),
    )
    try:
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        with pytest.raises(SenseiError, match=r"action\.npy is damaged"):
            carry_out(STAGES["explore"], study, files.study, job, given={"folder": tmp_path})
    finally:
        path.write_bytes(content)


@pytest.mark.slow
def test_a_generation_that_there_is_not_is_refused(finished):
    study, files = finished
    job = next(one.job for one in work(study, files) if one.stage.name == "explore" and one.job.method == "plan2explore")
    with pytest.raises(SenseiError, match="no generation '2' in this study"):
        carry_out(STAGES["explore"], study, files.study, replace(job, generation="2"))


def test_a_figure_that_compares_generations_is_refused_where_there_is_one():
    with pytest.raises(SenseiError, match="reward_generations compares generations, and study small has one"):
        study_of(generations=1)


@pytest.mark.parametrize(
    "changes, ends",
    [
        ({}, [120, 240]),
        ({"generations": None}, [240]),
        ({"generations": 7}, [35, 70, 105, 140, 175, 210, 240]),
        ({"generations": None, "relabel_every": 80}, [80, 160, 240]),
        ({"generations": None, "relabel_every": 100}, [100, 200, 240]),
        ({"generations": None, "relabel_every": 240}, [240]),
        ({"generations": 2, "relabel_every": 60}, [60, 240]),
    ],
)
def test_either_key_says_when_a_generation_ends(changes, ends):
    study = study_of(figures=["interactions"], **changes)
    assert study.generation_ends(ENVIRONMENT) == ends
    assert study.last_generation(ENVIRONMENT, "plan2explore") == 1


def test_a_method_may_keep_the_first_reward_model():
    study, files = study_of(explore=["sensei_first_reward", "sensei"], one_generation=["sensei_first_reward"]), Layout("results/any")
    assert [study.last_generation(ENVIRONMENT, method) for method in study.explore] == [1, 2]
    assert study.collector_of(2) == "sensei"
    first = next(one.job for one in work(study, files) if one.stage.name == "explore" and one.job.method == "sensei_first_reward")
    assert STAGES["explore"].inputs(study, files, first) == {"reward": files.reward(ENVIRONMENT, "oracle").model}
    assert "until" not in STAGES["explore"].settings(study, first)


@pytest.mark.parametrize(
    "changes, words",
    [
        ({"generations": 0}, "generations"),
        ({"relabel_every": 0}, "relabel_every"),
        ({"relabel_every": 241}, "`relabel_every` is 241, toy_keydoor explores for 240 steps; lower it"),
        ({"generations": 4, "relabel_every": 80}, "4 generations of 80 steps do not fit in 240 steps"),
        ({"explore": ["plan2explore"], "learn": ["plan2explore"]}, "2 generations need a method with a semantic reward"),
        ({"one_generation": ["sensei"]}, "2 generations need a method with a semantic reward"),
        ({"one_generation": ["plan2explore"]}, "`one_generation` names plan2explore, which explores without a semantic reward"),
    ],
)
def test_generations_that_cannot_be_are_refused_in_a_line(changes, words):
    with pytest.raises(SenseiError) as error:
        study_of(**changes)
    assert words in str(error.value) and "\n" not in str(error.value).removesuffix(f"\n-> set `{words}` in the test")


@pytest.mark.slow
def test_a_folder_of_one_generation_is_not_mixed_with_one_of_two(finished):
    _, files = finished
    with pytest.raises(SenseiError, match=r"relabelled after\.toy_keydoor"):
        check_folder(study_of(generations=None, figures=["interactions", "reward_model"]), files.study, "the test")
    check_folder(study_of(), files.study, "the test")


@pytest.mark.slow
def test_plan_status_and_export_know_generations(finished, tmp_path):
    study, files = finished
    rows = {row.stage: row for row in plan(study, Layout(tmp_path / "small"), look=False).rows}
    asked = round(1.05 * 100) + round(1.05 * 40)
    assert (rows["explore"].jobs, rows["distil"].jobs, rows["annotate"].labels) == (3, 2, asked)
    export(study, files, tmp_path / "small.tar.gz")
    described = json.loads(os.popen(f"tar -xzOf {tmp_path}/small.tar.gz small/croissant.json").read())
    names = {entry["@id"] if "@id" in entry else entry["name"] for entry in described["distribution"]}
    assert any("labels2/oracle/labels.parquet" in name for name in names)
    assert status(study, files).done
