"""Studies: the three that ship, Appendix B, and every mistake a study file can hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from sensei.core.errors import SenseiError
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import dump_study, load_study, merge, read_study
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.exploration import Method
from sensei.study.models.file import SETTINGS_KEYS, StudyFile
from sensei.study.models.preferences import LabelsConfig, PairsConfig
from sensei.study.schema import json_schema

STUDIES = ("smoke", "config", "paper")


@pytest.mark.parametrize("name", STUDIES)
def test_a_shipped_study_is_valid_and_survives_being_written(name, tmp_path):
    study = load_study(CONFIG_FOLDER / f"{name}.yaml")
    path = tmp_path / "study.yaml"
    path.write_text(dump_study(study))
    assert study.study == name
    assert read_study(path) == study


@pytest.mark.parametrize("kind", ["methods", "annotators", "envs"])
def test_every_file_of_the_library_is_valid(kind, smoke):
    for path in (CONFIG_FOLDER / kind).glob("*.yaml"):
        changes = {"methods": {"explore": [path.stem, *smoke["explore"]]}, "annotators": {"annotators": [path.stem]}, "envs": {}}[kind]
        changes |= {"environments": [path.stem]} if kind == "envs" else {}
        content = smoke | changes | {"figures": ["interactions"]}
        content["explore"] = list(dict.fromkeys(content["explore"]))
        if kind == "methods" and not Method(**yaml.safe_load(path.read_text())).explores:
            content |= {"explore": smoke["explore"], "learn": [path.stem]}
        load_study(content)


def test_schema_is_in_step():
    assert (CONFIG_FOLDER / "schema.json").read_text() == json_schema(), "run `python -m sensei schema`"


@pytest.mark.parametrize("name", STUDIES)
def test_every_key_of_a_shipped_study_is_in_the_schema(name):
    assert set(yaml.safe_load((CONFIG_FOLDER / f"{name}.yaml").read_text())) <= set(StudyFile.model_fields)


# Appendix B of the paper, MiniHack columns: KeyRoom, KeyChest.
APPENDIX_B = {
    "world_model.size": ("S", "S"),
    "world_model.image_size": (64, 64),
    "ensemble.members": (8, 8),
    "training.train_ratio": (512, 512),
    "training.batch_size": (16, 16),
    "training.batch_length": (64, 64),
    "training.explore_steps": (500_000, 500_000),
    "training.learn_steps": (1_000_000, 1_000_000),
    "training.evaluate_every": (10_000, 10_000),
    "training.evaluate_episodes": (1, 1),
    "training.replay_capacity": (1_000_000, 1_000_000),
    "training.prefill": (1024, 1024),
    "exploration.percentile": (90, 90),
    "exploration.explore": ({"semantic": 0.3, "disagreement": 1}, {"semantic": 0.25, "disagreement": 1}),  # and chi is 0
    "exploration.go": ({"semantic": 1, "disagreement": 0.1}, {"semantic": 1, "disagreement": 0.05}),
    "pairs.number": (100_000, 100_000),
    "reward.architecture": ("paper", "paper"),
    "reward.hidden": (512, 512),
    "reward.batch_size": (32, 32),
    "reward.learning_rate": (1e-4, 1e-4),
    "reward.weight_decay": (1e-5, 1e-4),
    "reward.epochs": (50, 50),
    "reward.validation_share": (0.2, 0.2),
    "environment.episode_steps": (600, 800),
    "world_model.free_nats": (1, 1),
    "world_model.dynamics_scale": (0.5, 0.5),
    "world_model.representation_scale": (0.1, 0.1),
    "world_model.learning_rate": (1e-4, 1e-4),
    "behaviour.learning_rate": (3e-5, 3e-5),
    "behaviour.horizon": (15, 15),
}


@pytest.mark.parametrize("key", APPENDIX_B)
def test_paper_study_is_appendix_b(key):
    study = load_study(CONFIG_FOLDER / "paper.yaml")
    for environment, expected in zip(("minihack_keyroom_s15", "minihack_keychest"), APPENDIX_B[key], strict=True):
        value = study.settings[environment].model_dump()
        for part in key.split("."):
            value = value.get(part, 0)  # a reward source without a weight has weight 0
        assert value == expected, environment


def test_paper_study_has_the_axes_of_the_paper():
    study = load_study(CONFIG_FOLDER / "paper.yaml")
    assert study.seeds == list(range(10))
    assert study.environments == ["minihack_keyroom_s15", "minihack_keychest", "robodesk"]
    assert [len(study.seeds_of(environment)) for environment in study.environments] == [10, 10, 3]
    assert set(study.explore) == {"sensei", "plan2explore", "vlm_motif"}
    assert set(study.learn) == {"sensei", "plan2explore", "dreamerv3", "ppo"}


# Changes to the smoke study and what the message must hold.
MISTAKES = {
    "unknown key": ({"seedz": [1]}, ["seedz", "seeds"]),
    "unknown key in a section": ({"training": {"learning_steps": 5}}, ["training.learning_steps", "learn_steps"]),
    "wrong type": ({"training": {"workers": "many"}}, ["training.workers", "many"]),
    "fraction for a count": ({"seeds": [0.5]}, ["seeds", "0.5"]),
    "empty axis": ({"seeds": []}, ["seeds"]),
    "empty figures": ({"figures": []}, ["figures"]),
    "repeated seed": ({"seeds": [1, 1]}, ["seeds", "1 twice"]),
    "unknown environment": ({"environments": ["minihack_keyrom"]}, ["minihack_keyrom", "minihack_keyroom_s5"]),
    "unknown method": ({"explore": ["sensay"]}, ["explore", "sensay", "plan2explore"]),
    "unknown collector": ({"collector": "nobody"}, ["collector", "nobody"]),
    "unknown annotator": ({"annotators": ["gpt9"]}, ["annotators", "gpt9", "oracle"]),
    "percentile of 120": ({"exploration": {"percentile": 120}}, ["exploration.percentile", "120"]),
    "not a number": ({"training": {"train_ratio": float("nan")}}, ["training.train_ratio"]),
    "more pairs than frames offer": ({"pairs": {"number": 10**7}}, ["pairs.number", "explore_steps"]),
    "collector that needs labels": ({"collector": "sensei"}, ["collector", "labels"]),
    "scratch method explores": ({"explore": ["dreamerv3", "plan2explore"]}, ["dreamerv3", "learn"]),
    "task of an unexplored method": ({"learn": ["vlm_motif"]}, ["vlm_motif", "explore"]),
    "study name with a slash": ({"study": "a/b"}, ["study", "a/b"]),
    "study above the results": ({"study": "../smoke"}, ["study", "../smoke", "letters, digits"]),
    "study that is an option": ({"study": "-rf"}, ["study", "-rf"]),
    "study that is something else": ({"study": "published"}, ["study", "published", "another name"]),
    "environment elsewhere": ({"environments": ["/etc/passwd"]}, ["environments.0", "/etc/passwd"]),
    "method with a command": ({"explore": ["a;b"]}, ["explore.0", "a;b"]),
    "annotator with a blank": ({"annotators": ["a b"]}, ["annotators.0", "a b"]),
    "figure with a command": ({"figures": ["a.b:C;d"]}, ["figures.0", "a.b:C;d"]),
    "task above its folder": ({"per_environment": {"robodesk": {"environment": {"tasks": ["../x"]}}}}, ["tasks.0", "../x"]),
    "name of 300 letters": ({"collector": "a" * 300}, ["collector", "up to 100"]),
    "prompt with a wildcard": ({"pairs": {"prompt": "{seed}.md"}}, ["pairs.prompt", "{seed}.md"]),
    "negative seed": ({"seeds": [-1]}, ["seeds.0", "-1"]),
    "seed too large": ({"seeds": [2**32]}, ["seeds.0", str(2**32)]),
    "seed that is a word": ({"seeds": [True]}, ["seeds.0", "True"]),
    "repeated seed of the pairs": ({"pairs": {"seeds": [0, 0]}}, ["`pairs`", "seeds", "0 twice"]),
    "repeated view": ({"labels": {"views": ["left", "left"]}}, ["`labels`", "views", "left twice"]),
    "10^9 workers": ({"training": {"workers": 10**9}}, ["training.workers", "1000000000", "1024"]),
    "a batch beyond memory": ({"training": {"batch_size": 2**16, "batch_length": 2**16}}, ["`training`", "batch_size", "1048576"]),
    "a rate above 1": ({"behaviour": {"learning_rate": 3}}, ["behaviour.learning_rate", "3"]),
    "a number that is a word": ({"training": {"train_ratio": True}}, ["training.train_ratio", "True"]),
    "a value of 1,000 letters": ({"training": {"device": "x" * 1000}}, ["training.device", "xxx ..."]),
    "missing axis": ({"seeds": None}, ["seeds"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_named_with_its_key_in_at_most_three_lines(mistake, write_study):
    changes, expected = MISTAKES[mistake]
    path = write_study(changes)
    with pytest.raises(SenseiError) as caught:
        load_study(path)
    message = str(caught.value)
    assert 1 <= len(message.splitlines()) <= 3 and len(message) < 800
    assert str(path) in message or "config/" in message
    for text in expected:
        assert text in message, message


def test_two_methods_of_one_name_are_refused(smoke, tmp_path):
    for kind in ("envs", "annotators", "methods"):
        (tmp_path / kind).mkdir()
        for path in (CONFIG_FOLDER / kind).glob("*.yaml"):
            (tmp_path / kind / path.name).write_text(path.read_text())
    (tmp_path / "methods" / "mine.yaml").write_text("title: SENSEI\nsources: [semantic]\n")
    with pytest.raises(SenseiError, match="two methods are called 'SENSEI'"):
        load_study(smoke | {"explore": [*smoke["explore"], "mine"]}, folder=tmp_path)


def test_a_file_that_is_no_mapping_is_named(tmp_path):
    path = tmp_path / "study.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(SenseiError, match=re.escape(str(path))):
        load_study(path)
    with pytest.raises(SenseiError, match="there is no study .*absent.yaml: expected one of config, "):
        load_study(tmp_path / "absent.yaml")


@pytest.mark.parametrize("section", SETTINGS_KEYS)
def test_every_section_refuses_unknown_keys(section, write_study):
    with pytest.raises(SenseiError, match=f"{section}.no_such_key"):
        load_study(write_study({section: {"no_such_key": 1}}))


mappings = st.recursive(st.integers(), lambda inner: st.dictionaries(st.sampled_from("abc"), inner, max_size=3), max_leaves=8)


@given(st.dictionaries(st.sampled_from("abc"), mappings), st.dictionaries(st.sampled_from("abc"), mappings))
def test_merge_keeps_what_is_not_changed_and_takes_what_is(base, changes):
    merged = merge(base, changes)
    assert merge(merged, changes) == merged
    assert set(merged) == set(base) | set(changes)
    assert all(merged[key] == base[key] for key in base if key not in changes)
    assert all(merged[key] == changes[key] for key in changes if not isinstance(changes[key], dict))


def test_config_folder_is_the_checkout(root):
    assert root / "config" == Path(CONFIG_FOLDER)


@pytest.mark.parametrize("word", ["off", "'off'", "false"])
def test_compile_off_may_be_written_as_a_word(word):
    content = yaml.safe_load((CONFIG_FOLDER / "smoke.yaml").read_text(encoding="utf-8"))
    content["training"] = content.get("training", {}) | {"compile": yaml.safe_load(word)}
    assert load_study(content, source="a test").settings["minihack_keyroom_s5"].training.compile == "off"


def endless(node: object, where: str = "") -> Iterator[str]:
    """Where a JSON schema has a number without a largest value, or a list without a largest length."""
    if isinstance(node, dict):
        kind = node.get("type")
        if (
            kind in ("integer", "number")
            and not {"maximum", "exclusiveMaximum"} & node.keys()
            or kind == "array"
            and "maxItems" not in node
        ):
            yield where
    parts = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for name, part in parts:
        yield from endless(part, f"{where}.{name}")


def test_every_number_and_every_list_of_a_study_has_an_end():
    assert list(endless(json.loads(json_schema()))) == []


def test_every_name_that_becomes_a_path_keeps_to_one_rule():
    for model, fields in (
        (StudyFile, AXES_OF_NAMES),
        (EnvironmentConfig, ("tasks", "events")),
        (PairsConfig, ()),
        (LabelsConfig, ("views",)),
    ):
        for name in fields:
            with pytest.raises(ValidationError, match="letters, digits"):
                TypeAdapter(model.model_fields[name].rebuild_annotation()).validate_python(["../x"])


@pytest.mark.parametrize(
    "figure, changes, said",
    [
        ("open_drawer_light", {}, "draws rewards of tasks that no environment of the study counts"),
        ("task_rewards", {}, "draws rewards of tasks that no environment of the study counts"),
        ("pokemon_caught", {}, "draws what no environment of the study counts"),
        ("logged_runs", {}, "no environment of the study is in the published logs"),
        ("head_start", {}, "draws methods that learn for steps of their own"),
        ("ppo_convergence", {"learn": []}, "draws task runs, and `learn` names no method"),
        ("learn", {"learn": []}, "draws task runs, and `learn` names no method"),
        ("go_share", {"explore": ["plan2explore"], "learn": []}, "draws methods with a gate"),
        ("robustness", {}, "the study has fewer than two pairs of fixed weights"),
        ("reward_generations", {}, "compares generations, and study smoke has one"),
    ],
)
def test_a_figure_that_could_never_be_drawn_is_refused_before_any_job(figure, changes, said, smoke):
    content = smoke | {"environments": ["minihack_keyroom_s5"], "per_environment": {}, "figures": ["interactions", figure]} | changes
    with pytest.raises(SenseiError, match=f"mine.yaml: `figures`: figure {figure}.*{said}"):
        load_study(content, "mine.yaml")


AXES_OF_NAMES = ("environments", "explore", "learn", "annotators", "figures", "stages")
