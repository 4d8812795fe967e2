"""Every file that docs/extending.md shows can be read as it stands there: studies with all that they name, prompts, options."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from fakes.guide import GUIDE, blocks, write
from helpers import environment

from sensei.annotators.prompts import load_prompt
from sensei.core.yaml import read_yaml
from sensei.envs.registry import checked
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.study.models.annotators import annotator_options
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.exploration import Method

SHOWN = blocks(GUIDE.read_text(encoding="utf-8"))
STUDIES = [file for file in SHOWN if Path(file).parent == Path("config")]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    """The files of the guide, beside those of config/."""
    for kind in ("envs", "methods", "annotators"):
        shutil.copytree(CONFIG_FOLDER / kind, tmp_path / "config" / kind)
    write(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path, str(tmp_path)])
    yield tmp_path
    for file in SHOWN:
        sys.modules.pop(Path(file).stem, None)


@pytest.mark.parametrize("file", STUDIES)
def test_a_study_of_the_guide_resolves(file, folder):
    study = load_study(file, folder=folder / "config")
    assert study.study == Path(file).stem


def test_a_study_of_the_guide_adds_all_five(folder):
    study, ours = (
        load_study("config/mine.yaml", folder=folder / "config"),
        {file for file in SHOWN if file.endswith(".py") and file != "upright.py"},
    )
    sources = [source for method in study.methods.values() for source in method.sources]
    named = [parts.environment.family for parts in study.settings.values()] + [kind.kind for kind in study.annotator_settings.values()]
    named += [*sources, *study.figures, *study.stages]
    assert {f"{name.partition(':')[0]}.py" for name in named if ":" in name} == ours and len(ours) == 5


def test_every_other_file_of_the_guide_is_accepted(folder):
    for file in SHOWN:
        match Path(file).parent.name:
            case "envs":
                checked(EnvironmentConfig(**read_yaml(file)["environment"]), file)
            case "methods":
                Method(**read_yaml(file))
            case "annotators":
                assert annotator_options(read_yaml(file), file).kind == read_yaml(file)["kind"]
            case "prompts":
                assert load_prompt(str(folder / file)).version
            case other:
                assert other == "config" or file.endswith(".py"), file


def test_the_checker_of_the_guide_plays_its_environment(folder):
    [command] = [line for line in GUIDE.read_text(encoding="utf-8").splitlines() if line.startswith("python -m sensei check-env")]
    arguments = [sys.executable, *command.split()[1:]]
    played = subprocess.run(arguments, cwd=folder, env=environment(), capture_output=True, text=True, check=True)
    assert "ok    contract" in played.stdout and "costs oracle" in played.stdout
