"""What a finished smoke study makes again: exactly the jobs that use what was added or edited."""

from pathlib import Path

import pytest
from helpers import ROOT, planned_commands, snakemake

SMOKE = ("-n", "-p", "--configfile", "config/smoke.yaml")
NEW = {
    "sensei/annotators/coin.py": '''
from sensei.annotators.contract import Annotator
class Coin(Annotator):
    """Answers at random."""
''',
    "config/annotators/coin.yaml": "kind: coin\n",
    "sensei/envs/maze.py": '''
from sensei.envs.contract import Environment
class Maze(Environment):
    """A maze."""
''',
    "config/envs/maze.yaml": """
environment: {family: maze, level: Maze, tasks: [leave], title: Maze, episode_steps: 9, events: [environment_reward]}
""",
    "sensei/exploration/counts.py": '''
from sensei.exploration.sources import Source
class Counts(Source):
    """Pays for states that were seldom seen."""
''',
    "config/methods/counting.yaml": "title: Counting\nsources: [counts]\n",
    "sensei/analysis/figures/histogram.py": '''
from sensei.analysis.figures.contract import Figure
class Histogram(Figure):
    """Bars."""
    title = "bars"
    def draw(self, study, data):
        return None
''',
}


def append(path: Path) -> None:
    """A change of what a module does."""
    assert path.exists(), path
    path.write_text(path.read_text() + "\nSOMETHING_ELSE = 1\n")


def replanned(checkout: Path) -> set[tuple[str, str]]:
    """(stage, options of the job) of everything that would be made again."""
    return planned_commands(snakemake(*SMOKE, cwd=checkout))


def test_a_new_annotator_environment_method_or_figure_makes_nothing_again(checkout):
    for name, text in NEW.items():
        assert not (checkout / name).exists()
        (checkout / name).write_text(text)
    assert replanned(checkout) == set()


def test_an_edit_of_ppo_makes_the_runs_of_ppo_again(checkout):
    append(checkout / "sensei/agents/ppo.py")
    jobs = replanned(checkout)
    runs = {names for stage, names in jobs if stage in ("explore", "learn")}
    assert len(runs) == 2 and all("--method ppo" in names for names in runs)
    assert {stage for stage, _ in jobs} == {"learn", "tabulate", "figure", "tables", "report"}


@pytest.mark.parametrize("file", ["simulation.py", "robodesk.py", "rendering.py"])
def test_an_edit_of_robodesk_leaves_minihack_alone(checkout, file):
    append(checkout / "sensei/envs/robodesk" / file)
    jobs = replanned(checkout)
    shared = {"tabulate", "figure", "tables", "report"}
    assert {stage for stage, _ in jobs} >= {"explore", "learn", "pairs"} | shared
    assert all("--environment robodesk" in names for stage, names in jobs if stage not in shared)


def test_an_edit_of_a_figure_draws_it_alone(checkout):
    append(checkout / "sensei/analysis/figures/labels.py")
    jobs = replanned(checkout)
    assert {names for stage, names in jobs if stage == "figure"} == {"--figure labels"}
    assert {stage for stage, _ in jobs} == {"figure", "report"}


def test_an_edit_of_the_openai_client_asks_nobody_else_again(checkout, change_study):
    append(checkout / "sensei/annotators/vlm/openai/server.py")
    assert replanned(checkout) == set(), "no annotator of the smoke study uses it"


def test_an_edit_of_the_openai_client_makes_the_jobs_of_its_annotators_again(checkout, change_study):
    change_study(annotators=["captioned_clip", "oracle", "local_server"])
    finish = snakemake("--cores", "2", "--configfile", "config/smoke.yaml", cwd=checkout)
    assert finish.returncode == 0, finish.stdout + finish.stderr
    append(checkout / "sensei/annotators/vlm/openai/server.py")
    jobs = replanned(checkout)
    asked = {names for stage, names in jobs if stage == "annotate"}
    assert asked and all("--annotator local_server" in names for names in asked)
    assert not {"explore", "learn", "collect", "pairs", "caption-clip"} & {stage for stage, _ in jobs}
    assert all("--annotator local_server" in names for stage, names in jobs if stage in ("merge", "trust", "distil"))


def test_the_stand_ins_are_the_stages_of_the_checkout():
    for name in NEW:
        assert not (ROOT / name).exists(), f"{name} is no longer new"
