"""What a study lacks is said before its first job: a table of (broken study or machine, what its line holds)."""

import subprocess
import time

import numpy as np
import pytest
import yaml
from fakes.toys import AXES, SMALL
from helpers import command, environment, run_python

from sensei.bench.openai_server import running
from sensei.core.errors import MachineError
from sensei.envs.trial import Trial
from sensei.study.cost import study_bytes
from sensei.study.layout import CONFIG_FOLDER, Layout
from sensei.study.load import load_study
from sensei.study.models.annotators import annotator_options
from sensei.study.preflight import Unfinished, lacking, missing

CHEAP = {"explore": ["plan2explore", "random"], "learn": ["dreamerv3"], "environments": ["toy_keydoor"]}
SECTIONS = {"labels", "pairs", "training", "world_model"}
OPENAI = {"kind": "openai_api", "model": "gpt-4o-2024-05-13", "prices": {"input_per_million": 5.0, "output_per_million": 15.0}}


def study(annotator=None, **changes):
    """A small study of a toy, with one annotator of our own if that is given."""
    sections = {name: SMALL.get(name, {}) | changes.pop(name, {}) for name in {*SMALL, *SECTIONS & changes.keys()}}
    made = load_study(AXES | CHEAP | sections | changes, source="a study")
    if annotator is None:
        return made
    return made.model_copy(update={"annotator_settings": {"oracle": annotator_options(annotator, "an annotator")}})


def of_toy(**changes):
    return {"per_environment": {"toy_keydoor": {"environment": changes}}}


@pytest.fixture
def files(tmp_path):
    return Layout(tmp_path / "results" / "toys")


@pytest.fixture(autouse=True)
def without_server(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "SENSEI_PREFLIGHT"):
        monkeypatch.delenv(name, raising=False)


LACKING = {
    "an oracle that knows no state": ({"environments": ["toy_counting"]}, ["oracle cannot rank", "Counting", "another annotator"]),
    "no contrastive states": ({"pairs": {"kind": "contrastive"}}, ["contrastive", "`pairs.kind: random`"]),
    "a view that there is not": ({"labels": {"views": ["left"]}}, ["labels.views", "left", "default"]),
    "an event that there is not": (of_toy(events=["door_opend"]), ["door_opend", "door_opened"]),
    "a task that there is not": (of_toy(tasks=["escape"]), ["escape", "fetch_key"]),
    "a level that there is not": (of_toy(family="minihack", level="KeyRoom-S6", events=["door_opened"]), ["KeyRoom-S6", "KeyRoom-S15"]),
    "a family that raises": (of_toy(family="fakes.badly_behaved:Raises", events=["odd_step"]), ["ValueError", "on fire"]),
    "a family that leaves": (of_toy(family="fakes.badly_behaved:Leaves", events=["odd_step"]), ["ends its process", "exit status 1"]),
    "a family that dies of a full disk": (of_toy(family="fakes.badly_behaved:Dies", events=["odd_step"]), ["signal 7", "temporary folder"]),
    "a family without its package": (of_toy(family="fakes.badly_behaved:Needs", events=["odd_step"]), ["no_such_simulator", "pip install"]),
    "a GPU": ({"training": {"device": "cuda"}}, ["device: cuda", "needs a GPU"]),
    "more room than any disk has": (
        {"training": {"replay_capacity": 10**10, "explore_steps": 10**10, "workers": 4}, "world_model": {"image_size": 1024}},
        ["has not enough room", "replay_capacity"],
    ),
    "a prompt that there is not": (
        {"pairs": {"prompt": "mine.md"}, "annotators": ["clip"]},
        ["there is no prompt file mine.md", "robodesk"],
    ),
    "a prompt about another game": (
        {"annotators": ["clip"], "environments": ["toy_counting"], "pairs": {"prompt": "minihack"}},
        ["prompt minihack"],
    ),
    "words for pictures": ({"annotators": ["captioned_clip"]}, ["captions", "KeyDoor"]),
    "labels of one's own": ({"annotators": ["replayed"]}, ["labels.csv", "`file`"]),
    "a key": ({"annotators": ["gpt-4o"]}, ["OPENAI_API_KEY is not set", "export"]),
}


@pytest.mark.parametrize("what", LACKING)
def test_what_a_study_lacks_is_one_line_that_says_what_helps(what, files, monkeypatch, tmp_path):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    changes, words = LACKING[what]
    lines = lacking(study(**changes), files, "a study").splitlines()
    assert lines[0] == "a study cannot run yet, 1 thing to mend:" and len(lines) == 2, lines
    assert not [word for word in words if word not in lines[1]], lines[1]
    assert not list(tmp_path.iterdir())


def test_all_is_said_at_once_and_each_thing_once(files):
    broken = study(
        environments=["toy_keydoor", "toy_counting"],
        annotators=["gpt-4o", "replayed"],
        labels={"views": ["left"]},
        pairs={"kind": "contrastive"},
    )
    found = [str(error) for error in missing(broken, files)]
    assert sum("labels.views" in text for text in found) == 2 and sum("contrastive" in text for text in found) == 2
    assert sum("OPENAI_API_KEY" in text for text in found) == 1 and sum("labels.csv" in text for text in found) == 1
    assert len(found) == 6


def test_a_study_that_lacks_nothing_is_let_through_within_seconds(files, tmp_path):
    begin = time.process_time()
    assert lacking(study(), files, "a study") is None
    assert time.process_time() - begin < 1
    assert not list(tmp_path.iterdir())


def test_episodes_that_an_annotator_brings_are_looked_at_before_any_job(files, tmp_path):
    own = tmp_path / "brought"

    def said(kind="oracle", episode=None, **changes):
        if episode is not None:
            own.mkdir(exist_ok=True)
            np.savez(own / "one.npz", **episode)
        return [str(error) for error in missing(study({"kind": kind, "episodes": str(own)}, **changes), files)]

    seen = Trial(study().settings["toy_keydoor"].environment, 40).result()
    names, shape, flags = list(seen.state), seen.shape, seen.flags
    pictures, noted = np.zeros((4, *shape), np.uint8), np.zeros((4, flags), np.float32)
    state = {"state": np.zeros((4, len(names)), np.float32), "state_names": names}
    [line] = said()
    assert "annotator oracle: there is no folder of episodes" in line and "`episodes`" in line
    [line] = said(episode={"annotator_image": pictures, "flags": noted})
    assert "oracle cannot rank" in line and "no state" in line
    assert said("fakes.annotating:Brighter") == [], "who looks at pictures needs no states"
    assert said(episode={"annotator_image": pictures, "flags": noted, **state}) == []
    [line] = said(episode={"annotator_image": pictures[:, :8], "flags": noted, **state})
    assert "one.npz is not of toy_keydoor" in line and str(list(shape)) in line
    [line] = said(episode={"annotator_image": pictures, "flags": np.zeros((4, flags + 1), np.float32), **state})
    assert f"{flags + 1} flags" in line
    [line] = said(episode={"annotator_image": pictures, "flags": noted, **state, "state_names": [*names[:-1], "warmth"]})
    assert "one.npz is not of toy_keydoor" in line and "warmth" in line


def test_a_hanging_environment_is_given_up(files, monkeypatch):
    monkeypatch.setattr("sensei.envs.trial.SECONDS", 4.0)
    [error] = missing(study(**of_toy(family="fakes.badly_behaved:Hangs", events=["odd_step"])), files)
    assert "no step within 4 s" in str(error)


def test_what_this_machine_lacks_is_passed_over_where_others_do_the_work(files, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    lacks = study(training={"device": "cuda"}, **of_toy(family="fakes.badly_behaved:Needs", events=["odd_step"]))
    found = missing(lacks, files)
    assert len(found) == 2 and all(isinstance(error, MachineError) for error in found)
    assert missing(lacks, files, here=False) == []


def test_what_is_finished_is_not_asked_about(files):
    done = study(annotators=["gpt-4o"])
    files.labels("toy_keydoor", "gpt-4o").labels.parent.mkdir(parents=True)
    files.labels("toy_keydoor", "gpt-4o").labels.touch()
    assert missing(done, files) == []
    runs = [files.explore(*run) for run in done.exploration_runs()] + [files.learn(*run) for run in done.task_runs()]
    for path in (files.pairs("toy_keydoor").pairs, *(run.events for run in runs)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    assert Unfinished(done, files, True).asked == []
    assert study_bytes(done, files, {}) == 0


def test_runs_and_figures_alone_need_no_labels_that_they_do_not_use(files):
    unranked = study(environments=["toy_counting"], annotators=["gpt-4o"])
    assert len(missing(unranked, files)) == 1
    assert missing(unranked, files, page=False) == []
    semantic = study(environments=["toy_counting"], explore=["sensei", "plan2explore"])
    assert "oracle cannot rank" in str(missing(semantic, files, page=False)[0])
    drawn = study(annotators=["gpt-4o"], figures=["interactions", "labels"])
    assert "OPENAI_API_KEY" in str(missing(drawn, files, page=False)[0])


@pytest.fixture(scope="module")
def server():
    with running() as address:
        yield address


def test_a_server_is_asked_for_its_models_and_nothing_else(server, files, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    assert missing(study(OPENAI), files) == []
    [error] = missing(study(OPENAI | {"model": "gpt-9"}), files)
    assert "has no model 'gpt-9'" in str(error) and "gpt-4o-2024-05-13" in str(error)
    monkeypatch.setenv("OPENAI_BASE_URL", f"{server}/nowhere")
    [error] = missing(study(OPENAI), files)
    assert "v1" in str(error)


def test_a_server_that_does_not_answer_is_named_and_may_be_left_out(files, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    text = lacking(study(OPENAI), files, "a study")
    assert "127.0.0.1:9 does not answer" in text and "SENSEI_PREFLIGHT=offline" in text and len(text.splitlines()) == 2
    monkeypatch.setenv("SENSEI_PREFLIGHT", "offline")
    assert lacking(study(OPENAI), files, "a study") is None


def test_a_study_beyond_its_budget_is_not_begun(server, files, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", server)
    [error] = missing(study(OPENAI | {"max_usd": 1e-4}), files)
    assert "max_usd" in str(error)
    assert missing(study(OPENAI | {"max_usd": 10.0}), files) == []


def test_the_variable_switches_the_preflight_off(files, monkeypatch):
    lacks = study(annotators=["gpt-4o"])
    monkeypatch.setenv("SENSEI_PREFLIGHT", "off")
    assert lacking(lacks, files, "a study") is None
    monkeypatch.setenv("SENSEI_PREFLIGHT", "no")
    assert "expected on, offline, off" in lacking(lacks, files, "a study")


@pytest.mark.slow
@pytest.mark.parametrize("name", ["smoke", "config", "robodesk_laptop"])
def test_the_shipped_studies_lack_nothing_here(name, tmp_path):
    assert missing(load_study(CONFIG_FOLDER / f"{name}.yaml"), Layout(tmp_path / name)) == []


@pytest.fixture
def read_only(tmp_path):
    """A folder that nobody may write to, root included."""
    folder = tmp_path / "read_only"
    folder.mkdir()
    (folder / "results").mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "ro,size=1m", "tmpfs", folder / "results"], capture_output=True, check=False)
    if mounted.returncode != 0:
        pytest.skip("mounting needs root")
    yield folder / "results"
    subprocess.run(["umount", folder / "results"], check=True)


def test_a_folder_of_results_that_cannot_be_written_is_named(read_only):
    [error] = missing(study(), Layout(read_only / "toys"))
    assert f"{read_only} cannot be written to" in str(error)


def test_a_file_in_place_of_the_results_is_named(tmp_path):
    (tmp_path / "results").touch()
    assert any("is no folder" in str(error) for error in missing(study(), Layout(tmp_path / "results" / "toys")))


@pytest.fixture
def broken_study(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(AXES | CHEAP | SMALL | {"study": "mine", "annotators": ["gpt-4o", "replayed"]}))
    return path


def test_the_command_says_all_and_writes_nothing(broken_study, tmp_path):
    result = run_python("-m", "sensei", "preflight", "--study", broken_study, cwd=tmp_path)
    assert result.returncode == 2 and len(result.stderr.splitlines()) == 3, result.stderr
    assert "OPENAI_API_KEY" in result.stderr and "labels.csv" in result.stderr
    assert [entry.name for entry in tmp_path.iterdir()] == [broken_study.name]


@pytest.mark.slow
def test_the_workflow_stops_before_its_first_job_even_a_dry_one(broken_study, tmp_path):
    variables = {name: value for name, value in environment().items() if name != "SENSEI_PREFLIGHT"}
    for option in ("-n", "--cores=1"):
        words = command(option, "--configfile", broken_study, cwd=tmp_path)
        result = subprocess.run(words, cwd=tmp_path, env=variables, capture_output=True, text=True, timeout=300, check=False)
        assert result.returncode != 0 and "Traceback" not in result.stderr
        assert "2 things to mend" in result.stderr and "OPENAI_API_KEY" in result.stderr and "labels.csv" in result.stderr
        assert not (tmp_path / "results").exists()
    published = command("published", "-n", "--configfile", broken_study, cwd=tmp_path)
    assert subprocess.run(published, cwd=tmp_path, env=variables, capture_output=True, timeout=300, check=False).returncode == 0
