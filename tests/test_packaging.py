"""One source of truth: pyproject's ranges, the lock and the conda files agree; nothing in them names a machine."""

import importlib.metadata
import re
import subprocess
import tomllib

import pytest
import yaml
from helpers import ASKED_FOR
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from setuptools import find_packages


@pytest.fixture(scope="module")
def lock(root) -> dict[str, str]:
    lines = (root / "requirements.lock").read_text().splitlines()
    pins = [re.fullmatch(r"([A-Za-z0-9._-]+)==([A-Za-z0-9.+!]+)", line) for line in lines]
    assert all(pins), [line for line, pin in zip(lines, pins, strict=True) if not pin]
    return {canonicalize_name(pin[1]): pin[2] for pin in pins}


@pytest.fixture(scope="module")
def project(root) -> dict:
    return tomllib.loads((root / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def requirements(project) -> list[Requirement]:
    locked = {name: extra for name, extra in project["optional-dependencies"].items() if name not in ASKED_FOR}
    extras = [text for extra in locked.values() for text in extra]
    return [Requirement(text) for text in project["dependencies"] + extras]


def test_the_lock_satisfies_every_range(lock, requirements):
    for requirement in requirements:
        name = canonicalize_name(requirement.name)
        assert name in lock, f"{name} is in pyproject.toml and not in requirements.lock"
        assert requirement.specifier.contains(lock[name]), f"{requirement} excludes the locked {lock[name]}"


def test_the_lock_is_the_whole_closure_and_nothing_else(lock, requirements):
    reached, todo = set(), [(canonicalize_name(requirement.name), frozenset(requirement.extras)) for requirement in requirements]
    while todo:
        name, extras = todo.pop()
        if (name, extras) in reached:
            continue
        reached.add((name, extras))
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            marker = requirement.marker
            if marker is None or any(marker.evaluate({"extra": extra}) for extra in {"", *extras}):
                todo.append((canonicalize_name(requirement.name), frozenset(requirement.extras)))
    assert {name for name, _ in reached} == set(lock)


def test_what_is_installed_is_the_lock(lock):
    installed = {name: importlib.metadata.version(name) for name in lock}
    assert installed == lock


def test_conda_environment_is_the_lock_and_the_package(root):
    content = yaml.safe_load((root / "environment.yml").read_text())
    assert content["dependencies"] == ["python=3.11", "pip", {"pip": ["-r requirements.lock", "-e ."]}]


def test_environments_of_the_rules_pin_what_the_lock_pins(root, lock):
    used = set()
    for path in (root / "workflow" / "rules").glob("*.smk"):
        used |= set(re.findall(r'"\.\./\.\./envs/(\w+)\.yaml"', path.read_text()))
        text = path.read_text()
        assert len(re.findall(r"^ *rule\b", text, re.MULTILINE)) == text.count("conda:"), f"{path.name}: no software environment"
    assert used == {path.stem for path in (root / "envs").glob("*.yaml")}
    for name in used:
        content = yaml.safe_load((root / "envs" / f"{name}.yaml").read_text())
        python, pip, pins = content["dependencies"]
        assert (python, pip) == ("python=3.11", "pip")
        for pin in pins["pip"]:
            package, version = pin.split("==")
            assert lock[canonicalize_name(package)] == version, f"envs/{name}.yaml: {pin}"


def test_the_package_is_sensei_with_its_data(root):
    settings = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["setuptools"]
    found = find_packages(str(root), include=settings["packages"]["find"]["include"])
    assert "sensei" in found and all(name.split(".")[0] == "sensei" for name in found)
    folders = {path.parent for path in (root / "sensei").rglob("*.py")}
    assert {".".join(folder.relative_to(root).parts) for folder in folders} == set(found), "a folder has no __init__.py"
    data = {path for path in (root / "sensei").rglob("*") if path.is_file() and path.suffix not in (".py", ".pyc")}
    covered = {path for pattern in settings["package-data"]["sensei"] for path in (root / "sensei").glob(pattern)}
    assert data <= covered, data - covered


def test_continuous_integration_runs_make_test_and_nothing_else(root):
    lines = [line for line in (root / ".ci" / "run").read_text().splitlines() if line and not line.startswith("#")]
    assert lines == ["set -e", 'cd "$(dirname "$0")/.."', "exec make test"]
    assert (root / ".ci" / "run").stat().st_mode & 0o111


@pytest.mark.parametrize("study", ["smoke", "config", "paper"])
def test_make_figures_runs_the_chosen_study_after_installing_the_lock_once(root, study, tmp_path):
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    plan = subprocess.run(["make", "-n", "figures", f"STUDY={study}"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "python3 -m venv .venv" in plan and "--requirement requirements.lock" in plan
    assert f"sensei make config/{study}.yaml --cores all" in plan
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed.stamp").touch()
    again = subprocess.run(["make", "-n", "figures", f"STUDY={study}"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert "pip install" not in again and "sensei make" in again


def test_no_file_of_packaging_names_a_host_or_a_disk(root):
    for name in ("requirements.lock", "environment.yml", "Makefile", "pyproject.toml", ".ci/run", "envs/sensei.yaml"):
        text = (root / name).read_text()
        assert not re.search(r"https?://|/home/|/root/|/work/|--(extra-)?index-url|--find-links", text), name
