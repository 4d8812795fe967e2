"""Every stage crashes at its n-th operation on the disk, and is run again: the results are those of an undisturbed study, to the byte.

In the manner of SQLite's crash tests. The slow tests try a few points of every stage; `CRASH_POINTS=50 pytest
tests/workflow/test_crashes.py` tries 50 of each, `CRASH_POINTS=all` every one, which takes hours.
"""

import os
import random
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from fakes.asking import MODEL, counted, told
from fakes.crashing import AT, Crash, Nursery, content

from sensei.bench.openai_server import running
from sensei.core.yaml import read_yaml
from sensei.study.load import dump_study, load_study
from sensei.study.models.study import Study

TOYS = Path(__file__).parent.parent / "fakes" / "toys.yaml"
POINTS = os.environ.get("CRASH_POINTS", "3")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(900 if POINTS == "3" else 0),
    pytest.mark.skipif(sys.platform != "linux" or shutil.which("cc") is None, reason="the layer is preloaded by Linux, and compiled"),
]
HERE = "--environment toy_keydoor"
STAGES = {  # in order
    "explore": f"explore {HERE} --method plan2explore --seed 0",
    "collect": f"collect {HERE} --seed 0",
    "pairs": f"pairs {HERE}",
    "annotate": f"annotate {HERE} --annotator oracle --shard 0",
    "annotate through the ledger": f"annotate {HERE} --annotator local_server --shard 0",
    "merge": f"merge {HERE} --annotator oracle",
    "trust": f"trust {HERE} --annotator oracle",
    "distil": f"distil {HERE} --annotator oracle",
    "explore with a reward": f"explore {HERE} --method sensei --seed 0",
    "learn": f"learn {HERE} --task keydoor --method sensei --seed 0",
    "learn on policy": f"learn {HERE} --task keydoor --method ppo --seed 0",
    "tabulate": "tabulate",
    "a figure": "figure --figure interactions",
    "another figure": "figure --figure learn",
    "tables": "tables",
    "report": "report",
}
FEW = {
    "workers": 1,
    "explore_steps": 80,
    "learn_steps": 40,
    "own_steps": {"ppo": 80},
    "prefill": 60,
    "evaluate_every": 40,
    "train_ratio": 4,
}
TRAINING = ("explore", "explore with a reward", "learn", "learn on policy")


def words(stage: str) -> list[str]:
    name, *rest = STAGES[stage].split()
    return [name, "--study", f"results/toys/{'asked' if 'local_server' in rest else 'study'}.yaml", *rest]


def toys() -> Study:
    """The study of toys with one worker and few updates: what happens on the disk is the same."""
    given = read_yaml(TOYS)
    return load_study(given | {"training": given["training"] | FEW}, source="toys.yaml")


def asking() -> Study:
    """The study with an annotator that goes through the ledger, and asks one question at a time: its operations come in one order."""
    study = load_study(read_yaml(TOYS) | {"annotators": ["local_server"]}, source="toys.yaml")
    options = study.annotator_settings["local_server"]
    asked = options.model_copy(update={"model": MODEL, "requests": options.requests.model_copy(update={"at_once": 1})})
    return study.model_copy(update={"annotator_settings": {"local_server": asked}})


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """Address of a server that answers, and counts its answers."""
    with running() as address:
        yield address


@pytest.fixture(scope="module")
def nursery(server, tmp_path_factory) -> Iterator[Nursery]:
    folder = tmp_path_factory.mktemp("toys")
    (folder / "results" / "toys").mkdir(parents=True)
    for name, study in (("study", toys()), ("asked", asking())):
        (folder / "results" / "toys" / f"{name}.yaml").write_text(dump_study(study))
    nursery = Nursery(folder, folder / "results", {"OPENAI_BASE_URL": server, "OPENAI_API_KEY": "none"})
    yield nursery
    nursery.close()


@pytest.fixture(scope="module")
def undisturbed(nursery, tmp_path_factory) -> dict[str, tuple[Path, Path, str]]:
    """Of every stage: the results before it, those after it, and its operations."""
    folder, found = tmp_path_factory.mktemp("undisturbed"), {}
    before = shutil.copytree(nursery.below, folder / "study")
    for stage in STAGES:
        attempt = nursery.attempt(words(stage))
        assert attempt.code == 0, attempt.said
        after = shutil.copytree(nursery.below, folder / stage)
        found[stage], before = (before, after, attempt.operations), after
    return found


def points(operations: str, stage: str) -> list[tuple[Crash, int]]:
    """Where to crash: all that there are, or some of them, spread evenly and beginning anywhere."""
    every = [(crash, at) for crash, kinds in AT.items() for at, kind in enumerate(operations) if kind in kinds]
    if POINTS == "all":
        return every
    number = min(len(every), int(POINTS) if stage not in TRAINING or POINTS != "3" else 2)
    random.Random(stage).shuffle(every)
    return every[:number]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_that_crashed_is_made_again_to_the_byte(nursery, undisturbed, server, stage):
    before, after, operations = undisturbed[stage]
    expected, tried = content(after), dict.fromkeys(Crash, 0)
    for crash, at in points(operations, stage):
        tried[crash] += 1
        shutil.rmtree(nursery.below)
        shutil.copytree(before, nursery.below)
        told(server, {})
        crashed = nursery.attempt(words(stage), crash, at)
        point = f"{stage}: {crash.name} at {at} of {len(operations)}"
        if crash in (Crash.KILL, Crash.TEAR):
            assert crashed.code < 0, f"{point} did not happen"
        else:
            assert crashed.code in (0, 2), f"{point}: {crashed.said}"
            assert "Traceback" not in crashed.said and (crashed.code == 0 or "\n-> " in crashed.said), f"{point}: {crashed.said}"
        again = nursery.attempt(words(stage))
        assert again.code == 0, f"{point}, then: {again.said}"
        found = content(nursery.below)
        differing = {name for name in expected | found if expected.get(name) != found.get(name)}
        assert not differing, f"{point}: {sorted(differing)} differ"
        assert counted(server)["repeated"] <= 1, f"{point}: more was paid twice than the one question in flight"
    print(
        f"{stage}: {len(operations)} operations; tried {', '.join(f'{crash.name} {number}' for crash, number in tried.items() if number)}"
    )
