"""A scripted play on a cartridge of our own, which keeps its state where Pokemon Red does, and runs on it."""

import pandas as pd
import pytest
import yaml
from fakes import walker
from fakes.interrupted import Interrupted, count_steps
from helpers import planned, run_python, snakemake

from sensei.core.files import sha256
from sensei.envs.check import check_environment
from sensei.envs.pokemon import cartridge
from sensei.envs.pokemon.emulator import BUTTONS
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.training.runs import explore


@pytest.fixture
def options(tmp_path, monkeypatch):
    path, options = walker.write(tmp_path)
    monkeypatch.setenv(cartridge.ROM, str(path))
    return options


def content(options, **training):
    study = yaml.safe_load((CONFIG_FOLDER / "pokemon_smoke.yaml").read_text(encoding="utf-8"))
    study["per_environment"]["pokemon_red"]["environment"]["options"].update(options)
    study["training"].update(training)
    return study


def press(env, *buttons):
    return [env.step(BUTTONS.index(button)) for button in buttons]


def test_buttons_reach_the_game_and_the_game_reaches_reward_events_and_picture(made, options):
    env = made(options, episode_steps=100)
    first, info = env.reset(seed=0)
    assert info["state"]["segment"] == 0 and info["state"]["highest_level"] == 6
    steps = press(env, "right", "right", "left", "a", "a", "b")
    rewards = [step[1] for step in steps]
    assert rewards == pytest.approx([0.4, 0.4, 0, 0.4, 0.4, 4 * 4 * 3])
    assert [step[4]["events"]["tile_visited"] for step in steps] == [1, 1, 0, 1, 1, 0]
    last = steps[-1][4]
    assert (last["state"]["map"], last["state"]["x"], last["state"]["max_map_segment"], last["state"]["summed_level"]) == (12, 1, 2, 9)
    assert last["events"]["caught_rattata"] == last["events"]["max_party_size"] == 1
    assert (first["image"] != steps[0][0]["image"]).any()
    again, _ = env.reset(seed=1)
    assert (again["image"] == first["image"]).all() and [step[1] for step in press(env, "right", "right")] == pytest.approx([0.4, 0.4])


def test_it_keeps_the_contract(made, options):
    assert check_environment(made(options)) == 20


@pytest.mark.slow
def test_a_run_that_was_interrupted_ends_like_one_that_was_not(options, tmp_path):
    study = load_study(content(options, explore_steps=60, checkpoint_every=20, prefill=40, workers=2), "a study")
    whole, resumed = tmp_path / "whole", tmp_path / "resumed"
    explore(study, "pokemon_red", "plan2explore", 0, whole, keep_episodes=True)
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, 27)
        explore(study, "pokemon_red", "plan2explore", 0, resumed, keep_episodes=True)
    explore(study, "pokemon_red", "plan2explore", 0, resumed, keep_episodes=True)
    files = [path.relative_to(whole) for path in whole.rglob("*") if path.is_file() and path.name != "timing.jsonl"]
    assert {str(file): sha256(whole / file) for file in files} == {str(file): sha256(resumed / file) for file in files}
    lengths = pd.read_parquet(whole / "events.parquet").query("finished")["length"]
    assert lengths.tolist() == [20] * 2


@pytest.mark.slow
def test_preflight_sees_the_game_and_says_what_a_wrong_cartridge_is(options, tmp_path):
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content(options)), encoding="utf-8")
    seen = run_python("-m", "sensei", "preflight", "--study", "study.yaml", cwd=tmp_path)
    assert (seen.returncode, seen.stdout) == (0, "study.yaml lacks nothing\n"), seen.stderr
    (tmp_path / "study.yaml").write_text(yaml.safe_dump(content({"start": "power_on"})), encoding="utf-8")
    wrong = run_python("-m", "sensei", "preflight", "--study", "study.yaml", cwd=tmp_path)
    assert wrong.returncode and "walker.gb, 32768 bytes" in wrong.stderr and cartridge.SHA1 in wrong.stderr
    assert "Traceback" not in wrong.stderr


@pytest.mark.slow
def test_the_dag_of_both_studies(options, tmp_path):
    for name, explored in (("pokemon", 4 * 5), ("pokemon_smoke", 3)):
        jobs = planned(snakemake("-n", "--configfile", CONFIG_FOLDER / f"{name}.yaml", cwd=tmp_path))
        assert jobs["explore"] == explored and jobs["figure"] == 8 and jobs["pairs"] == jobs["distil"] == 1
