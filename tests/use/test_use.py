"""A trained agent in scripts and on the command line: it plays, is scored and dreams, and what is no agent is said in one sentence."""

import io
import json
import pickle
import re
import shutil
import sys
import tarfile
import zipfile

import imageio.v2 as imageio
import numpy as np
import pytest
import torch
import yaml
from fakes.small_study import finish
from helpers import ROOT, run_python
from torch import serialization

import sensei
from sensei.core.errors import SenseiError
from sensei.core.files import atomic
from sensei.study.export import export, unpack
from sensei.study.layout import Layout, RewardFiles, RunFiles, manifest_of
from sensei.training.loop import Loop
from sensei.training.runs import explore, learn
from sensei.use.dream import dream, errors, frames
from sensei.use.play import returns

RUN = "toy_keydoor/explore/sensei/seed0"
LEARNED = "toy_keydoor/learn/keydoor/sensei/seed0"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A finished study: its folder and an archive of it."""
    folder = tmp_path_factory.mktemp("made")
    study, files = finish(folder)
    export(study, files, folder / "small.tar.gz", frozenset({"checkpoints"}))
    return files.root, folder / "small.tar.gz", study


@pytest.fixture(scope="module")
def agent(made):
    return sensei.load_agent(made[0] / RUN)


def test_nothing_but_what_is_promised_is_in_the_package():
    assert set(sensei.__all__) == {"load_agent", "play", "load_reward"}
    with pytest.raises(AttributeError, match="no attribute 'load_agents'"):
        sensei.load_agents  # noqa: B018


def test_episodes_are_whole_and_fixed_by_their_seed(agent):
    steps, again = list(sensei.play(agent, episodes=2, seed=3)), list(sensei.play(agent, episodes=2, seed=3))
    assert [step.action for step in steps] == [step.action for step in again]
    assert all((step.action is None) == step.last for step in steps)
    assert [step.episode for step in steps if step.first] == [step.episode for step in steps if step.last] == [0, 1]
    assert steps[0].reward == 0 and set(steps[0].events) == {"key_picked_up", "door_opened", "environment_reward"}
    assert [step.action for step in steps] != [step.action for step in sensei.play(agent, episodes=2, seed=4)]


def test_both_behaviours_of_an_explorer_act(agent, made):
    assert agent.behaviours == ("explore", "task") and agent.step in (240, 241)
    played = {name: [step.action for step in sensei.play(agent, behaviour=name, seed=1)] for name in agent.behaviours}
    assert played["explore"] != played["task"]
    assert sensei.load_agent(made[0] / "toy_keydoor/learn/keydoor/sensei/seed0").behaviours == ("task",)
    with pytest.raises(SenseiError, match="found go, expected one of explore, task"):
        next(sensei.play(agent, behaviour="go"))


def test_loading_leaves_the_random_streams_of_the_caller_alone(made):
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    expected = torch.rand(1), np.random.rand()  # noqa: NPY002
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002
    sensei.load_agent(made[0] / RUN)
    assert (torch.rand(1), np.random.rand()) == expected  # noqa: NPY002


def test_an_archive_gives_the_same_agent(agent, made):
    packed = sensei.load_agent(made[1], run=RUN)
    assert [step.action for step in sensei.play(packed)] == [step.action for step in sensei.play(agent)]
    with pytest.raises(SenseiError, match=f"holds 6 agents\n-> name one of them as `run`: .*{RUN}"):
        sensei.load_agent(made[1])
    with pytest.raises(SenseiError, match="holds no agent of that run: found elsewhere"):
        sensei.load_agent(made[1], run="elsewhere")


def test_an_agent_that_was_packed_to_be_played_acts_as_the_whole_one_and_says_what_it_is(agent, made, tmp_path):
    root, _, study = made
    export(study, Layout(root), tmp_path / "small.tar.gz", agents=[RUN, LEARNED])
    files = unpack(tmp_path / "small.tar.gz", tmp_path / "results")
    small = RunFiles(files.root / RUN)
    assert small.agent.stat().st_size < 0.5 * (root / RUN / "agent.pt").stat().st_size
    for behaviour in agent.behaviours:
        steps = [list(sensei.play(each, behaviour=behaviour, episodes=2)) for each in (agent, sensei.load_agent(small.folder))]
        assert [step.action for step in steps[0]] == [step.action for step in steps[1]]
    card = (small.folder / "README.md").read_text()
    head = yaml.safe_load(card.split("---")[1])
    assert (
        head["license"] == "mit"
        and "SENSEI explorer" in card
        and f"for {agent.step} agent steps (seed 0)" in card
        and "key_picked_up" in card
    )
    assert "Score, mean of the last" in (files.root / LEARNED / "README.md").read_text()
    with pytest.raises(SenseiError, match="was packed to be played, without its optimisers\n-> name the agent.pt of the run itself"):
        learn(study, "toy_keydoor", "keydoor", "sensei", 0, tmp_path / "more", small.agent)
    with pytest.raises(SenseiError, match="there is no .*nobody/agent.pt\n-> name a finished run"):
        export(study, Layout(root), tmp_path / "none.tar.gz", agents=["nobody"])


def test_a_run_under_way_is_watched_from_its_last_checkpoint(made, monkeypatch, tmp_path):
    save = Loop.save

    def once(loop):
        save(loop)
        raise InterruptedError

    monkeypatch.setattr(Loop, "save", once)
    with pytest.raises(InterruptedError):
        explore(made[2], "toy_keydoor", "plan2explore", 5, tmp_path)
    agent = sensei.load_agent(tmp_path)
    assert 60 <= agent.step < 240 and [step for step in sensei.play(agent) if step.last]
    state, look = RunFiles(tmp_path).state, serialization.get_unsafe_globals_in_checkpoint
    later, earlier = state.read_bytes(), torch.load(state, weights_only=False) | {"policy_state": None}
    torch.save(earlier, state)

    def replaced_after(opened):
        found = look(opened)
        with atomic(state) as temporary:
            temporary.write_bytes(later)
        return found

    monkeypatch.setattr(serialization, "get_unsafe_globals_in_checkpoint", replaced_after)
    assert sensei.load_agent(tmp_path).step == agent.step and state.read_bytes() == later


class Harmful:
    """What carries out code when it is read without care."""

    def __reduce__(self):
        return exec, ("import sys; sys.harmed = True",)


def broken(path, tmp_path, what):
    """A file that is no agent, of the kind that a test asks for."""
    target = tmp_path / "agent.pt"
    content = torch.load(path, weights_only=True)
    match what:
        case "absent":
            return target
        case "text":
            target.write_text("no agent")
        case "torn":
            target.write_bytes(path.read_bytes()[:-1000])
        case "flipped":
            data = bytearray(path.read_bytes())
            data[len(data) // 2] ^= 1
            target.write_bytes(data)
        case "harmful":
            torch.save({"agent": Harmful()}, target)
        case "earlier":
            torch.save({"agent": content["agent"], "identity": {}, "step": 1}, target)
        case "other weights":
            torch.save(content | {"agent": content["agent"] | {"weights": {}}}, target)
        case "other settings":
            run = content["run"]
            torch.save(content | {"run": run | {"settings": run["settings"] | {"colour": "red"}}}, target)
        case "no settings" | "no spaces":
            nothing = {"run": {"phase": "explore"}} if what == "no settings" else {"spaces": ()}
            torch.save(content | nothing, target)
        case "compressed":
            with zipfile.ZipFile(path) as whole, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as file:
                for entry in whole.namelist():
                    file.writestr(entry, whole.read(entry))
        case "bomb":
            with tarfile.open(target, "w:gz") as tar:
                entry = tarfile.TarInfo("study/run/agent.pt")
                entry.size = 2**23
                tar.addfile(entry, io.BytesIO(bytes(entry.size)))
        case "torn archive" | "stump of an archive":
            with tarfile.open(target, "w:gz") as tar:
                tar.add(path, "study/run/agent.pt")
            target.write_bytes(target.read_bytes()[: 5000 if what == "torn archive" else 30])
        case "other archive":
            with tarfile.open(target, "w:gz") as tar:
                tar.add(__file__, "test.py")
        case "zip":
            with zipfile.ZipFile(target, "w") as file:
                file.writestr("a/data.pkl", pickle.dumps(1))
    return target


@pytest.mark.parametrize(
    ("what", "complaint"),
    [
        ("absent", "there is no .*agent.pt\n-> name the folder of a run"),
        ("text", "is no agent, or damaged: found File is not a zip file\n-> get it again"),
        ("torn", "is no agent, or damaged"),
        ("flipped", "is no agent, or damaged: found .*wrong checksum"),
        ("harmful", "is no agent, or damaged: found it would carry out exec\n-> get it again"),
        ("earlier", "is no agent of this version of the package: found 'run'\n-> load it with the version"),
        ("other weights", "is no agent of this version of the package: found .*Missing key"),
        ("other settings", "is no agent of this version of the package: found settings: unknown key `colour`\n-> load it with the version"),
        ("other archive", "holds no agent\n-> pack it with `python -m sensei export --checkpoints`"),
        ("zip", "is no agent, or damaged"),
        ("no settings", "is no agent of this version of the package: found 'settings'"),
        ("no spaces", "is no agent of this version of the package: found .*missing 3 required"),
        ("compressed", "is no agent, or damaged: found .* is compressed, which torch never does"),
        ("bomb", "is no agent: found 8,388,608 bytes in so small an archive"),
        ("torn archive", "the archive .*agent.pt is damaged: found Compressed file ended .*\n-> get it again"),
        ("stump of an archive", "is damaged: found "),
    ],
)
def test_what_is_no_agent_is_said_and_carries_nothing_out(made, tmp_path, what, complaint):
    with pytest.raises(SenseiError, match=complaint) as error:
        sensei.load_agent(broken(made[0] / RUN / "agent.pt", tmp_path, what))
    assert len(str(error.value).splitlines()) <= 2 and not hasattr(sys, "harmed")


def test_a_folder_without_an_agent_and_an_environment_that_does_not_fit(agent, made):
    with pytest.raises(SenseiError, match="there is no agent in .*\n-> name the folder of one run"):
        sensei.load_agent(made[0])
    other = sensei.load_agent(made[0] / RUN)
    larger = other.settings.world_model.model_copy(update={"image_size": 24})
    wrong = type(other)(**{**vars(other), "settings": other.settings.model_copy(update={"world_model": larger})}).environment()
    with pytest.raises(SenseiError, match=r"does not fit .*found pictures \[24, 24, 3\], 1 flag.*expected pictures \[16, 16, 3\], 1 flag"):
        next(sensei.play(agent, wrong))
    with pytest.raises(SenseiError, match="found object, whose observations are no pictures"):
        next(sensei.play(agent, object()))


def test_a_dream_begins_where_the_model_was_last_shown_something(agent):
    steps = list(sensei.play(agent, episodes=3, seed=0))
    dreamt = dream(agent, steps, seen=3, horizon=4)
    windows, time = dreamt.actual.shape[:2]
    assert windows >= 3 and time == 7 and dreamt.dreamt.shape == dreamt.actual.shape == (windows, 7, 16, 16, 3)
    assert all(np.array_equal(dreamt.held[:, t], dreamt.actual[:, 2]) for t in range(2, 7))
    assert np.array_equal(dreamt.actual[0], [step.observation["image"] for step in steps[:7]])
    table = errors(dreamt)
    last = table[(table.pictures == "no change") & (table.horizon == 4)].iloc[0]
    assert last.value == pytest.approx((((dreamt.actual[:, 6].astype(float) - dreamt.actual[:, 2]) / 255) ** 2).mean())
    assert len(table) == 8 and (table.low <= table.value).all() and (table.value <= table.high).all() and (table.windows == windows).all()
    shown = frames(dreamt)
    assert shown.shape == (windows * 7, 3 * 18, 18, 3) and (shown[0, 18] == 255).all() and not (shown[3, 18] == 255).any()
    changed = dream(agent, [step._replace(action=3) for step in steps], seen=3, horizon=4)
    assert np.array_equal(changed.actual, dreamt.actual) and not np.array_equal(changed.dreamt[:, 3:], dreamt.dreamt[:, 3:])
    with pytest.raises(SenseiError, match="no episode has 103 steps"):
        dream(agent, steps, seen=3, horizon=100)


def test_a_reward_model_scores_pictures_of_ones_own(made):
    scorer = sensei.load_reward(made[0] / "toy_keydoor" / "reward" / "oracle")
    images = np.random.default_rng(0).integers(0, 256, (5, *scorer.image_shape), dtype=np.uint8)
    scores = scorer(images, np.zeros((5, scorer.flags_size), np.float32))
    assert scores.shape == (5,) and scores.dtype == np.float32 and len(set(scores)) > 1
    with pytest.raises(SenseiError, match="belongs to another environment"):
        scorer(images[:, :8], np.zeros((5, scorer.flags_size), np.float32))
    with pytest.raises(SenseiError, match="there is no reward model in"):
        sensei.load_reward(made[0])
    with pytest.raises(SenseiError, match="is no reward model, or damaged: .*\n-> get it again, or distil it again$"):
        sensei.load_reward(made[1])


def test_weights_of_a_reward_model_that_are_not_what_was_distilled_are_refused(made, tmp_path):
    whole = RewardFiles(made[0] / "toy_keydoor" / "reward" / "oracle").model
    copy = tmp_path / whole.name
    shutil.copy(whole, copy)
    shutil.copy(manifest_of(whole), manifest_of(copy))
    assert sensei.load_reward(tmp_path).flags_size == 1
    weights = bytearray(whole.read_bytes())
    weights[-100] ^= 1
    copy.write_bytes(weights)
    with pytest.raises(SenseiError, match="reward.safetensors is damaged, or not what stage distil wrote"):
        sensei.load_reward(tmp_path)


def test_the_guide_works_as_it_stands(made, tmp_path):
    """docs/using.md, one block after the other, with a toy in the place of the smoke study's room."""
    (tmp_path / "results" / "smoke").mkdir(parents=True)
    (tmp_path / "results" / "smoke" / "minihack_keyroom_s5").symlink_to(made[0] / "toy_keydoor")
    guide = (ROOT / "docs" / "using.md").read_text(encoding="utf-8")
    (tmp_path / "guide.py").write_text("\n".join(re.findall(r"```python\n(.*?)```", guide, re.DOTALL)))
    seen = run_python("guide.py", cwd=tmp_path)
    assert seen.returncode == 0 and "key_picked_up" in seen.stdout and seen.stdout.endswith("]\n"), seen.stderr
    commands = re.findall(r"^python -m sensei (.*)$", guide, re.MULTILINE)
    kinds = [command.split()[0] for command in commands]
    assert kinds == ["export", "play", "evaluate", "dream"], "each is carried out in a test of its own"


def test_the_commands(made, tmp_path):
    run = made[0] / RUN
    played = run_python("-m", "sensei", "play", run, "--episodes", "2", "--behaviour", "task", "--video", "play.mp4", cwd=tmp_path)
    assert played.returncode == 0 and played.stdout.count("return") == 2 and "key_picked_up" in played.stdout, played.stderr
    assert imageio.get_reader(tmp_path / "play.mp4").count_frames() == int(played.stdout.split(" pictures")[0].split()[-1])
    scored = run_python("-m", "sensei", "evaluate", made[1], "--run", RUN, "--episodes", "3", "--json", cwd=tmp_path)
    found = json.loads(scored.stdout)
    assert found["mean"] == pytest.approx(np.mean(found["returns"])) and len(found["returns"]) == 3 and found["step"] in (240, 241)
    assert returns(sensei.load_agent(run), episodes=3)["returns"] == found["returns"]
    shown = run_python("-m", "sensei", "dream", run, "--horizon", "4", "--figure", "errors.png", cwd=tmp_path)
    assert shown.returncode == 0 and "after 4" in shown.stdout, shown.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"play.mp4", "dream.mp4", "errors.png", "errors.pdf", "errors.csv"}
    wrong = run_python("-m", "sensei", "play", tmp_path, cwd=tmp_path)
    assert wrong.returncode == 2 and "there is no agent in" in wrong.stderr and "Traceback" not in wrong.stderr
