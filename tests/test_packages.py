"""What is listed is imported and what is imported is listed; each software environment holds all that its stages import."""

import ast
import importlib.metadata
import re
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest
import yaml
from helpers import ASKED_FOR, ROOT, environment
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from sensei.analysis.figures.registry import ROOM as FIGURES
from sensei.core.plugins import module_of, names
from sensei.core.provenance import closure
from sensei.study.layout import CONFIG_FOLDER
from sensei.study.load import load_study
from sensei.study.models.annotators import ANNOTATORS
from sensei.study.models.environment import ENVIRONMENTS
from sensei.study.models.exploration import AGENTS, SOURCES
from sensei.study.models.study import Study
from sensei.study.slices import jobs
from sensei.study.stages import STAGES

# Used without being imported: package -> the file that uses it, and the words by which.
USED = {
    "import-linter": ("Makefile", "lint-imports"),
    "ipykernel": ("examples/walkthrough.ipynb", '"kernelspec"'),
    "pytest-timeout": ("pyproject.toml", "timeout = "),
    "pytest-xdist": ("Makefile", "--numprocesses"),
    "pyarrow": ("sensei/replay/episodes.py", "to_parquet"),
    "ruff": ("Makefile", "ruff check"),
    "setuptools": ("sensei/envs/minihack/levels.py", "pkg_resources"),
    "snakefmt": ("Makefile", "snakefmt"),
    "snakemake-executor-plugin-slurm": ("workflow/profiles/slurm/config.yaml", "executor: slurm"),
    "tensorboard": ("sensei/training/trackers/tensorboard.py", "torch.utils.tensorboard"),
}
PEERS = ROOT / "sensei" / "bench" / "peers.py"  # runs in the interpreter of another implementation
OURS = {"sensei", "fakes", "helpers"}


@cache
def imported(path: Path, at_the_top: bool = False) -> frozenset[str]:
    """Top-level modules that a file imports, anywhere or only when it is imported itself; the standard library's left out."""
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":  # of a workflow: its grammar is not Python's
        found = re.findall(r"^(?:from|import) (\w+)", text, re.MULTILINE)
    else:
        found, tree = [], ast.parse(text)
        for node in tree.body if at_the_top else ast.walk(tree):
            if isinstance(node, ast.Import):
                found += [alias.name.partition(".")[0] for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                found.append(node.module.partition(".")[0])
    return frozenset(found) - sys.stdlib_module_names


def distributions(modules: set[str]) -> set[str]:
    """Packages that hold modules."""
    held = importlib.metadata.packages_distributions()
    unknown = {name for name in modules if name not in held} - OURS - ASKED_FOR
    assert not unknown, f"no installed package holds {unknown}"
    return {canonicalize_name(name) for module in modules - OURS - ASKED_FOR for name in held.get(module, ())}


def listed(*extras: str) -> set[str]:
    """Packages that pyproject.toml lists, those of some extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    texts = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return {canonicalize_name(Requirement(text).name) for text in texts}


def test_what_the_package_imports_is_listed_and_what_is_listed_is_used():
    sources = [*(ROOT / "sensei").rglob("*.py"), *(ROOT / "workflow").rglob("*.smk"), ROOT / "Snakefile"]
    found = distributions({module for path in sources if path != PEERS for module in imported(path)})
    ours = listed("robodesk", "pokemon", "vlm", "tensorboard", "cluster")
    assert found <= ours, f"imported and not listed: {found - ours}"
    assert ours <= found | set(USED), f"listed and not imported: {ours - found - set(USED)}"


def test_what_the_tests_import_is_listed_and_what_is_listed_for_them_is_used():
    found = distributions({module for path in (ROOT / "tests").rglob("*.py") for module in imported(path)})
    everything = listed("robodesk", "pokemon", "vlm", "tensorboard", "cluster", "dev")
    assert found <= everything, f"imported and not listed: {found - everything}"
    for_tests = listed("dev") - listed()
    assert for_tests <= found | set(USED), f"listed and not used: {for_tests - found - set(USED)}"


@pytest.mark.parametrize("package", USED)
def test_what_is_used_without_being_imported_is_used_where_it_is_said(package):
    file, words = USED[package]
    assert words in (ROOT / file).read_text(encoding="utf-8")


# Software environments ----------------------------------------------------------------------------------------


@cache
def rules() -> dict[str, str]:
    """Stage -> the software environment of its rule."""
    found = {}
    for path in (ROOT / "workflow" / "rules").glob("*.smk"):
        for text in re.split(r"\n *(?:use )?rule ", path.read_text())[1:]:
            stage, software = re.search(r'STAGES\["([\w-]+)"\]', text), re.search(r'envs/(\w+)\.yaml"', text)
            if stage and software:
                found[stage[1]] = software[1]
    return found


@cache
def studies() -> tuple[Study, ...]:
    """Every study that is shipped."""
    return tuple(load_study(path) for path in CONFIG_FOLDER.glob("*.yaml"))


@cache
def roots(stage: str) -> tuple[set[str], set[str]]:
    """(modules, modules that are but asked for facts) of every job of a stage in any study that is shipped, with every plugin there is."""
    table, found, facts = STAGES[stage], set(), set()
    for study in studies():
        for job in jobs(table, study) if table.needs_study else jobs(table, study)[:1]:
            found |= set(table.code(study, job))
            facts |= set(table.facts(study, job))
    plugins = {"explore": (ENVIRONMENTS, AGENTS, SOURCES), "learn": (ENVIRONMENTS, AGENTS, SOURCES)}
    plugins |= {"annotate": (ANNOTATORS,), "figure": (FIGURES,)}
    return found | {module_of(name, *room) for room in plugins.get(stage, ()) for name in names(*room[:2])}, facts


def held_by(software: str) -> set[str]:
    """Packages of a software environment, with all that they need."""
    content = yaml.safe_load((ROOT / "envs" / f"{software}.yaml").read_text())
    todo, reached = [canonicalize_name(Requirement(pin).name) for pin in content["dependencies"][-1]["pip"]], set()
    while todo:
        name = todo.pop()
        if name in reached:
            continue
        reached.add(name)
        for text in importlib.metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                todo.append(canonicalize_name(requirement.name))
    return reached


def file_of(module: str) -> Path:
    """The file of a module of the package."""
    path = ROOT.joinpath(*module.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def test_every_stage_has_a_software_environment_which_says_so():
    assert set(rules()) == set(STAGES)
    for path in (ROOT / "envs").glob("*.yaml"):
        said = re.match(r"# [^:]*: ([a-z, -]+)\.\n", path.read_text(encoding="utf-8"))[1].split(", ")
        assert sorted(said) == sorted(stage for stage, software in rules().items() if software == path.stem), path.name


HIDING = """
import importlib, importlib.machinery, sys
visible, third_party, ours = {visible!r}, {third_party!r}, {ours!r}

class Visible(importlib.machinery.PathFinder):
    # Finds what is not hidden, and what a visible package brings in a folder of its own.
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name.partition(".")[0] in visible or name.partition(".")[0] not in third_party:
            return super().find_spec(name, path, target)
        brought = [folder for folder in (sys.path if path is None else path) if "_vendor" in folder]
        return super().find_spec(name, brought, target) if brought else None

sys.meta_path[:] = [Visible if finder is importlib.machinery.PathFinder else finder for finder in sys.meta_path]
sys.path_importer_cache.clear()
for name in ours:
    importlib.import_module(name)
"""


@pytest.mark.parametrize("software", sorted({path.stem for path in (ROOT / "envs").glob("*.yaml")}))
def test_a_software_environment_holds_all_that_its_stages_import(software, tmp_path):
    kept, locked = held_by(software), {canonicalize_name(line.partition("==")[0]) for line in (ROOT / "requirements.lock").open()}
    installed = importlib.metadata.packages_distributions()
    held = {module: packages for module, packages in installed.items() if locked & {canonicalize_name(each) for each in packages}}
    modules = {"sensei.cli.main", "sensei.study.stages", "sensei.study.folder"}  # the command line that starts every stage
    asked = set()
    for stage, used in rules().items():
        if used == software:
            code, facts = roots(stage)
            modules |= set(closure(code))
            asked |= set(closure((), facts))
    modules, asked = ({name for name in each if name.startswith("sensei.")} for each in (modules, asked - modules))
    imports = {top for name in modules for top in imported(file_of(name))} | {
        top for name in asked for top in imported(file_of(name), True)
    }
    lacking = {name for name in imports if name in held and not kept & {canonicalize_name(each) for each in held[name]}}
    assert not lacking, f"envs/{software}.yaml lacks what its stages import: {sorted(lacking)}"
    visible = {module for module, packages in held.items() if kept & {canonicalize_name(each) for each in packages}}
    code = HIDING.format(visible=visible, third_party=set(held), ours=sorted(modules | asked))
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
