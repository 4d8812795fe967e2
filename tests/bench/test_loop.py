"""The benchmark of the loop measures a real run, and its parts add up."""

import pytest
from fakes.toys import toy_study
from typer.main import get_command

from sensei.bench import app, gpu
from sensei.bench.loop import Case, resolve, side_by_side
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study


@pytest.mark.slow
def test_two_runs_beside_each_other():
    case = Case(toy_study(training={"train_ratio": 16}), "toy_counting", "plan2explore", steps=20, threads=1)
    result = side_by_side(case, runs=2)
    assert result["runs"] == len(result["each_run"]) == 2
    assert result["agent_steps_per_second"] == pytest.approx(sum(run["agent_steps_per_second"] for run in result["each_run"]))
    for run in result["each_run"]:
        assert run["updates_per_second"] == pytest.approx(run["agent_steps_per_second"] * 16 / 32, rel=0.5)
        for kind in ("share_of_time", "share_of_processor_time"):
            assert sum(run[kind].values()) == pytest.approx(1)
            assert run[kind]["rest"] > -0.01
            assert min(run[kind][name] for name in ("act", "update", "score", "sample")) > 0
        assert run["outside_update_of_time"] == pytest.approx(1 - run["share_of_time"]["update"])
        assert run["peak_mb"] > 100


def test_options_change_only_what_they_name():
    changes = {"world_model": {"size": None, "image_size": 64}, "training": {"workers": None}}
    settings = resolve(CONFIG_FOLDER / "config.yaml", "minihack_keychest", "sensei", changes).settings["minihack_keychest"]
    written = load_study(CONFIG_FOLDER / "config.yaml").settings["minihack_keyroom_s5"]
    assert settings.world_model == written.world_model.model_copy(update={"image_size": 64})
    assert settings.training == written.training


@pytest.mark.parametrize("study", sorted(CONFIG_FOLDER.glob("*.yaml")), ids=lambda path: path.stem)
def test_settings_are_those_of_any_study(study):
    resolved = resolve(study, "minihack_keyroom_s15", "sensei", {})
    assert list(resolved.settings) == resolved.environments == ["minihack_keyroom_s15"]
    assert resolved.settings["minihack_keyroom_s15"].training.own_steps == {}


@pytest.mark.parametrize(
    "odd", [{"training": None}, {"per_environment": 3}, {"per_environment": {"minihack_keyroom_s5": {"training": "all"}}}]
)
def test_a_mistake_in_a_study_is_said_as_everywhere(odd):
    with pytest.raises(SenseiError, match=next(iter(odd))):
        resolve(read_yaml(CONFIG_FOLDER / "config.yaml") | odd, "minihack_keyroom_s5", "sensei", {})


def test_a_benchmark_that_fails_or_has_no_time_does_not_take_the_others_with_it(monkeypatch):
    monkeypatch.setattr(gpu, "plan", lambda *_: {"broken": ["loop", "--steps", "many"], "next": ["loop", "--runs", "one"]})
    results: dict = {}
    monkeypatch.setattr(gpu, "emit", lambda result, path: results.update(result))
    gpu.gpu(minutes=0)
    assert results["broken"] == results["next"] == {"left_out": "no time left"}
    gpu.gpu(minutes=1)
    assert "unable to parse string as an integer" in results["broken"]["failed"][-1]
    assert "unable to parse string as an integer" in results["next"]["failed"][-1]


def test_every_planned_benchmark_is_a_command_that_takes_its_options():
    for quick in (False, True):
        for arguments in gpu.plan([CONFIG_FOLDER], "cpu", quick).values():
            command = get_command(app).get_command(None, arguments[0])
            options = command.make_context(arguments[0], list(arguments[1:])).params
            if arguments[0] == "loop":
                assert resolve(options["study"], options["environment"], options["method"], {})
