"""Kinds of annotators: found by their place or by "package.module:Class", light until one is made, and typed wherever a study is read."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from fakes.annotating import ONCE, assignment, options, write_pairs
from helpers import ROOT, environment

from sensei.annotators.contract import Annotator
from sensei.annotators.shards import annotate_shard
from sensei.core.errors import SenseiError
from sensei.core.plugins import names
from sensei.preferences.tables import read_replies
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import dump_study, load_study, read_study
from sensei.study.models.annotators import AnnotatorOptions, PromptedConfig, annotator_class, annotator_options
from sensei.study.models.study import Study

KINDS = names("sensei.annotators", "Annotator")
NEEDED = {
    "function_oracle": {"function": "mine.py:rank"},
    "clip": {"model": "m"},
    "local_vlm": {"model": "m"},
    "openai_api": {"model": "m"},
    "replayed": {"file": "labels.csv"},
}
HEAVY = ("torch", "open_clip", "transformers", "openai", "tenacity", "matplotlib", "minihack", "nle", "mujoco")
STRANGER = """
from pydantic import Field

from sensei.annotators.contract import Annotator
from sensei.preferences.pair import Label, Reply
from sensei.study.models.annotators import AnnotatorOptions


class Stubborn(Annotator):
    class Options(AnnotatorOptions):
        place: int = Field(ge=0, le=1)

    def annotate(self, pairs):
        for pair in pairs:
            yield Reply(pair.pair, pair.swapped, "as always", Label(self.options.place))


class Helper:
    pass
"""


@pytest.fixture
def stranger(tmp_path, monkeypatch) -> str:
    """A kind of annotators in another repository."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "stubborn.py").write_text(STRANGER)
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    yield "stubborn:Stubborn"
    sys.modules.pop("stubborn", None)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_found_by_its_place_and_says_what_its_yaml_may_hold(kind):
    found = options(kind, **NEEDED.get(kind, {}))
    assert issubclass(annotator_class(kind), Annotator) and isinstance(found, annotator_class(kind).Options)
    assert found.kind == kind
    with pytest.raises(SenseiError, match=r"the test: unknown key `no_such`: expected one of .*kind"):
        options(kind, no_such=1, **NEEDED.get(kind, {}))


@pytest.mark.parametrize("path", sorted((CONFIG_FOLDER / "annotators").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_file_of_annotators_is_of_a_kind(path):
    assert isinstance(annotator_options(yaml.safe_load(path.read_text()), path.name), AnnotatorOptions)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_light_until_one_is_made(kind):
    """Checking a study imports the kinds that it names, where none of their packages need be installed."""
    program = (
        "import sys\n"
        "from sensei.study.models.annotators import annotator_class\n"
        f"annotator_class({kind!r}).Options\n"
        f"print(*[name for name in {HEAVY} if name in sys.modules])\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=environment())
    assert run.stdout.split() == []


def test_a_kind_of_another_repository_answers_as_ours_do(tmp_path, stranger):
    pairs, output = write_pairs(tmp_path, 20), tmp_path / "shard0.jsonl"
    annotate_shard(pairs, tmp_path / "frames.npz", "tested", options(stranger, place=1), 0, 1, output, assignment(tmp_path), ONCE)
    replies = read_replies(output)
    assert [reply.pair for reply in replies] == list(range(20))
    assert {(reply.text, reply.answer.name) for reply in replies} == {("as always", "SECOND")}


def test_a_resolved_study_is_read_back_typed(smoke, tmp_path, stranger):
    files = tmp_path / "config"
    for kind in ("envs", "annotators", "methods"):
        (files / kind).mkdir(parents=True)
        for path in (CONFIG_FOLDER / kind).glob("*.yaml"):
            (files / kind / path.name).write_text(path.read_text())
    (files / "annotators" / "mine.yaml").write_text(f"kind: {stranger}\nplace: 0\n")
    asked = ["oracle", "noisy_oracle", "captioned_clip", "gpt-4o", "local_vlm", "replayed", "mine"]
    study = load_study(smoke | {"annotators": asked}, "the test", files)
    path = tmp_path / "study.yaml"
    path.write_text(dump_study(study))
    again = read_study(path)
    assert again == study and set(asked) < again.annotator_settings.keys()
    for name, found in again.annotator_settings.items():
        assert type(found) is type(study.annotator_settings[name]) is annotator_class(found.kind).Options
    assert again.annotator_settings["mine"].place == 0
    assert isinstance(again.annotator_settings["gpt-4o"], PromptedConfig) and again.prompt_of("gpt-4o", again.environments[0])
    assert again.prompt_of("mine", again.environments[0]) is None
    dumped = again.model_dump(mode="json")["annotator_settings"]
    assert dumped["noisy_oracle"] == {
        "kind": "noisy_oracle",
        "nearer": True,
        "episodes": None,
        "views": None,
        "accuracy": 0.85,
        "first_bias": 0.1,
    }
    assert dumped["gpt-4o"]["prices"]["tile_tokens"] == [85, 170]
    assert Study.model_validate(again.model_dump()) == study


MISTAKES = {
    "no kind": ({"accuracy": 1}, ["`kind` names no kind", "found None", "noisy_oracle"]),
    "unknown kind": ({"kind": "gpt9"}, ["annotator `kind`", "gpt9", "noisy_oracle", "package.module:Class"]),
    "no such module": ({"kind": "no_such.module:Class"}, ["no_such.module:Class", "PYTHONPATH"]),
    "not an annotator": ({"kind": "stubborn:Helper"}, ["stubborn:Helper is no annotator `kind`", "derives from Annotator"]),
    "out of range": ({"kind": "stubborn:Stubborn", "place": 7}, ["`place`", "7", "less than or equal to 1"]),
    "missing": ({"kind": "stubborn:Stubborn"}, ["`place`", "field required"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_file_is_named_with_file_and_key(stranger, mistake):
    content, words = MISTAKES[mistake]
    with pytest.raises(SenseiError) as caught:
        annotator_options(content, "config/annotators/mine.yaml")
    message = str(caught.value)
    assert 1 <= len(message.splitlines()) <= 3 and message.startswith("config/annotators/mine.yaml: ")
    assert all(word in message for word in words), message


@pytest.mark.parametrize(
    ("change", "words"),
    [({"no_such": 1}, "unknown key `no_such`: expected one of episodes, kind, nearer, views"), ({"kind": "gpt9"}, "gpt9")],
)
def test_a_mistake_in_a_resolved_study_is_named_likewise(smoke, tmp_path, change, words):
    content = yaml.safe_load(dump_study(load_study(smoke, "the test")))
    content["annotator_settings"]["oracle"] |= change
    path = tmp_path / "study.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(SenseiError) as caught:
        read_study(path)
    message = str(caught.value)
    assert 1 <= len(message.splitlines()) <= 3 and str(path) in message and words in message


@pytest.mark.parametrize(("kind", "package"), [("openai_api", "openai"), ("local_vlm", "transformers"), ("clip", "open_clip")])
def test_a_package_that_is_not_installed_is_named(tmp_path, kind, package):
    program = (
        "import sys\n"
        "from pathlib import Path\n"
        f"sys.modules[{package!r}] = None\n"
        "from fakes.annotating import assignment, options\n"
        "from sensei.annotators.registry import make_annotator\n"
        f"make_annotator(options({kind!r}, model='m'), assignment(Path(sys.argv[1]), prompt='minihack'))\n"
    )
    importable = environment() | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}"}
    run = subprocess.run([sys.executable, "-c", program, tmp_path], capture_output=True, text=True, check=False, env=importable)
    said = f"SenseiError: an annotator of kind {kind} needs the package {package}\n-> pip install -e '.[vlm]'\n"
    assert run.stderr.endswith(said), run.stderr


def test_only_a_kind_that_is_trained_can_be_trained(tmp_path):
    trained = {kind for kind in KINDS if annotator_class(kind).trained}
    assert trained == {"captioned_clip"}
    given = assignment(tmp_path)
    with pytest.raises(SenseiError, match="annotators of kind oracle are not trained"):
        annotator_class("oracle").train(options("oracle"), given.environment, Path("pairs"), Path("frames"), 0, None, tmp_path)
