"""An oracle that is a function in a file of the user's: the one of docs/extending.md as it stands there, and what is wrong with others."""

from pathlib import Path

import numpy as np
import pytest
from fakes.annotating import annotate, options, write_pairs
from fakes.guide import write

from sensei.annotators.contract import Assignment
from sensei.annotators.oracle import function_oracle
from sensei.annotators.oracle.function_oracle import FunctionOracle
from sensei.annotators.registry import make_annotator
from sensei.core.errors import SenseiError
from sensei.core.yaml import read_yaml
from sensei.envs.registry import make
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Label, Pair, Side
from sensei.study.layout import LabelFiles, Layout
from sensei.study.load import load_study
from sensei.study.models.annotators import annotator_options
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.stage import Job
from sensei.study.stages import STAGES

GUIDE = "upright.py", "config/annotators/upright.yaml", "config/envs/cart_pole.yaml"
FUNCTION = "def rank(state):\n    return +(2 * state['key_held'] + state['key_in_view'])\n"


def assigned(config: EnvironmentConfig) -> Assignment:
    return Assignment(0, None, Path("labels"), Path("ledger.sqlite"), config)


@pytest.fixture
def in_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_function_of_the_guide_ranks_states_of_any_gymnasium_environment(in_folder):
    write(in_folder, *GUIDE)
    asked = annotator_options(read_yaml(GUIDE[1]), GUIDE[1])
    config = EnvironmentConfig(**read_yaml(GUIDE[2])["environment"])
    env = make(config, 32)
    env.reset(seed=0)
    states = [env.step(1)[-1]["state"] for _ in range(5)]  # the cart is pushed to one side, and the pole falls to the other
    env.close()
    assert list(states[0]) == [f"observation_{index}" for index in range(4)]
    assert not list(type(oracle := make_annotator(asked, assigned(config))).missing(asked, assigned(config), states[0], False))
    assert oracle.rank(states[0]) == pytest.approx(1 / (0.1 + abs(states[0]["observation_2"]) + 0.1 * abs(states[0]["observation_0"])))
    frames = Frames("unused")
    pair = Pair(3, True, Side(frames, 0, states[4]), Side(frames, 1, states[0]))
    [reply] = oracle.annotate([pair])
    assert (reply.pair, reply.answer, reply.label) == (3, Label.SECOND, Label.FIRST)


def test_it_is_asked_by_a_study_and_its_file_is_an_input(smoke, in_folder):
    (in_folder / "mine.py").write_text(FUNCTION)
    asked = options("function_oracle", function="mine.py:rank")
    study = load_study(smoke | {"environments": ["minihack_keyroom_s5"], "annotators": ["oracle"], "figures": ["labels"]}, "the test")
    study = study.model_copy(update={"annotator_settings": {"oracle": asked}})
    job = Job(environment="minihack_keyroom_s5", annotator="oracle", shard="0")
    assert STAGES["annotate"].inputs(study, Layout("results/smoke"), job)["own"] == [Path("mine.py")]
    assert STAGES["annotate"].settings(study, job)["annotator"] == {"kind": "function_oracle", "function": "mine.py:rank"}
    pairs = write_pairs(in_folder, 30)
    answers = [reply.answer for reply in annotate(pairs, in_folder / "shard0.jsonl", asked)]
    (in_folder / "mine.py").write_text(FUNCTION.replace("+(", "-("))
    turned = [reply.answer for reply in annotate(pairs, in_folder / "again0.jsonl", asked)]
    assert set(answers) == set(Label) and turned == [answer.swapped for answer in answers]


def test_a_module_on_the_path_will_do(in_folder, monkeypatch):
    package = in_folder / "fresh_package_of_mine"
    package.mkdir()
    (package / "preferences.py").write_text(FUNCTION)
    asked = options("function_oracle", function="fresh_package_of_mine.preferences:rank")
    oracle = make_annotator(asked, assigned(EnvironmentConfig(**COUNTING)))
    assert oracle.rank({"key_held": 1.0, "key_in_view": 1.0}) == 3
    assert [path.resolve() for path in oracle.sources(asked, LabelFiles(in_folder))] == [(package / "preferences.py").resolve()]


COUNTING = {"family": "pixels", "level": "CartPole-v1", "tasks": ["t"], "title": "T", "episode_steps": 9, "events": ["environment_reward"]}


@pytest.mark.parametrize(
    "function, body, words",
    [
        ("absent.py:rank", FUNCTION, ["there is no file absent.py"]),
        ("mine.py:rang", FUNCTION, ["no function rang in mine.py"]),
        ("mine.py", FUNCTION, ["names no function", "NAME.py:function"]),
        ("no_such_package.mine:rank", FUNCTION, ["no_such_package"]),
        ("mine.py:rank", "import no_such_module\n", ["importing mine.py fails", "no_such_module"]),
        ("mine.py:rank", "def rank(state\n", ["importing mine.py fails", "SyntaxError"]),
        ("mine.py:rank", "raise SystemExit(3)\n", ["importing mine.py fails"]),
        ("mine.py:rank", FUNCTION.replace("key_held", "key_hold"), ["raises KeyError", "key_hold", "key_held, key_in_view"]),
        ("mine.py:rank", "def rank(state, more):\n    return 1\n", ["raises TypeError", "more"]),
        ("mine.py:rank", "def rank(state):\n    state['key_held']\n", ["gives no number", "None"]),
        ("mine.py:rank", "def rank(state):\n    return float('nan')\n", ["gives no number", "nan"]),
        ("mine.py:rank", "def rank(state):\n    return 'high'\n", ["gives no number", "high"]),
        ("mine.py:rank", "def rank(state):\n    return 10**400\n", ["gives no number", "1000"]),
        ("mine.py:rank", "def rank(state):\n    raise SystemExit(0)\n", ["raises SystemExit"]),
        ("mine.py:rank", "import time\n\ndef rank(state):\n    time.sleep(99)\n", ["hangs", "it does not return within 0.5 s"]),
    ],
)
def test_what_is_wrong_is_said_in_a_line_or_two_before_any_job(function, body, words, in_folder, monkeypatch):
    monkeypatch.setattr(function_oracle, "PATIENCE", 0.5)
    (in_folder / "mine.py").write_text(body)
    asked, config = options("function_oracle", function=function), EnvironmentConfig(**COUNTING)
    [error] = FunctionOracle.missing(asked, assigned(config), {"key_held": 1.0, "key_in_view": 0.0}, False)
    assert not [word for word in words if word not in str(error)], str(error)
    assert len(str(error).splitlines()) <= 2


def test_an_environment_that_shows_no_state_is_refused(in_folder):
    (in_folder / "mine.py").write_text(FUNCTION)
    asked = options("function_oracle", function="mine.py:rank")
    [error] = FunctionOracle.missing(asked, assigned(EnvironmentConfig(**COUNTING)), {}, False)
    assert "shows an oracle no state" in str(error) and "info['state']" in str(error)


def test_a_number_of_numpy_is_a_number(in_folder):
    (in_folder / "mine.py").write_text("import numpy as np\n\n\ndef rank(state):\n    return np.float32(state['x'])\n")
    oracle = make_annotator(options("function_oracle", function="mine.py:rank"), assigned(EnvironmentConfig(**COUNTING)))
    assert oracle.rank({"x": 2.5}) == 2.5
    with pytest.raises(SenseiError, match="gives no number"):
        oracle.rank({"x": np.nan})


@pytest.mark.parametrize(
    "words",
    [
        "def __repr__(self):\n        raise ValueError\n    def __init__(self, state):\n        pass",
        "def __init__(self, state):\n        raise Mine",
    ],
)
def test_what_cannot_tell_what_it_is_is_said_as_well(in_folder, words):
    mine = "class Mine(Exception):\n    def __str__(self):\n        raise ValueError\n\n\n"
    (in_folder / "mine.py").write_text(f"{mine}class Odd:\n    {words}\n")
    oracle = make_annotator(options("function_oracle", function="mine.py:Odd"), assigned(EnvironmentConfig(**COUNTING)))
    with pytest.raises(SenseiError, match="gives no number: found a Odd|raises Mine"):
        oracle.rank({"x": 2.5})
