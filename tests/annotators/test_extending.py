"""The annotator of docs/extending.md, as it stands there: a file in a folder outside the package, and one YAML."""

import sys

import pytest
import yaml
from fakes.annotating import ONCE, assignment, write_pairs
from fakes.asking import write_frames
from fakes.guide import shown, write

from sensei.annotators.shards import annotate_shard
from sensei.preferences.frames import Frames
from sensei.preferences.tables import questions, read_pairs, read_replies
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study

OPTIONS = "config/annotators/brightest.yaml"


@pytest.fixture
def study(smoke, tmp_path, monkeypatch):
    """The smoke study with this annotator; the file lies in the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))  # the folder joins it
    for kind in ("envs", "annotators", "methods"):
        (tmp_path / "config" / kind).mkdir(parents=True)
        for path in (CONFIG_FOLDER / kind).glob("*.yaml"):
            (tmp_path / "config" / kind / path.name).write_text(path.read_text())
    write(tmp_path, "brightest.py", OPTIONS)
    yield load_study(smoke | {"annotators": ["brightest"]}, "the test", tmp_path / "config")
    sys.modules.pop("brightest", None)


def test_the_annotator_of_the_guide_prefers_the_brighter_picture(study, tmp_path):
    pairs, output = write_pairs(tmp_path, 40), tmp_path / "shard0.jsonl"
    write_frames(tmp_path, 5)
    asked = study.annotator_settings["brightest"]
    assert asked.model_dump(exclude_unset=True) == yaml.safe_load(shown(OPTIONS))
    annotate_shard(pairs, tmp_path / "frames.npz", "brightest", asked, 0, 1, output, assignment(tmp_path), ONCE)
    replies = {reply.pair: reply.label for reply in read_replies(output)}
    asked_about = questions(read_pairs(pairs), Frames(tmp_path / "frames.npz"), [False] * 40)
    for pair in asked_about:
        difference = pair.first.image.mean() - pair.second.image.mean()
        assert replies[pair.pair].name == ("TIE" if abs(difference) <= 2 else "FIRST" if difference > 0 else "SECOND")
    assert {label.name for label in replies.values()} == {"FIRST", "SECOND", "TIE"}
