"""Algorithms are found by their place; what a study must know of one is read without importing it."""

import ast
import subprocess
import sys

import pytest
from helpers import ROOT, environment
from pydantic import ValidationError

from sensei.agents.contract import Agent
from sensei.core.errors import SenseiError
from sensei.core.plugins import find, module_of, names, stated
from sensei.study.models.exploration import AGENTS, Method

NAMES = names(*AGENTS[:2])


@pytest.mark.parametrize("name", NAMES)
def test_what_is_read_is_what_the_class_has(name):
    kind, read = find(name, *AGENTS), stated(name, *AGENTS)
    of_an_instance = "ready", "behaviours"
    facts = {fact for fact in vars(Agent) if fact[0] != "_" and not callable(getattr(Agent, fact)) and fact not in of_an_instance}
    assert facts <= read.keys()
    assert {fact: read[fact] for fact in facts - {"counts_for"}} == {fact: getattr(kind, fact) for fact in facts - {"counts_for"}}


def test_methods_follow_from_their_algorithm():
    made = {name: Method(title="-", algorithm=name) for name in ("dreamer", "ppo", "random")}
    assert {name: method.explores for name, method in made.items()} == {"dreamer": False, "ppo": False, "random": True}
    assert {name: method.agent("learns") for name, method in made.items()} == {"dreamer": True, "ppo": True, "random": False}
    for name in ("ppo", "random"):
        with pytest.raises(ValidationError, match=f"algorithm {name} takes no `sources`"):
            Method(title="-", algorithm=name, sources=["semantic"])


def test_an_algorithm_outside_the_package_is_read_where_it_lies():
    assert stated("fakes.follower:Follower", *AGENTS)["counts_for"] == 2
    assert not Method(title="-", algorithm="fakes.follower:Follower").explores
    for wrong in ("fakes.follower:Leader", "fakes.nowhere:Follower"):
        with pytest.raises(SenseiError, match=f"there is no algorithm {wrong}"):
            stated(wrong, *AGENTS)
    with pytest.raises(SenseiError, match=r"unknown algorithm: found sac, expected one of .*dreamer.*, or package\.module:Class"):
        Method(title="-", algorithm="sac")


def test_a_study_is_checked_without_torch():
    code = "import sys; from sensei.study.load import load_study; load_study('config/smoke.yaml'); sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, env=environment())


def test_the_loop_names_no_algorithm():
    """Fingerprints follow imports: an edit of one algorithm must not make runs of another again."""
    algorithms = {module_of(name, *AGENTS) for name in NAMES}
    for path in (ROOT / "sensei" / "training").glob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
        assert not imported & algorithms, path.name
