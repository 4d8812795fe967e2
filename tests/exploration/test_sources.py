"""A reward source is one file, found by its name; one of a stranger, as it stands in docs/extending.md, trains on a toy."""

from pathlib import Path

import pytest
import torch
import yaml
from fakes.agents import HORIZON, ROWS, dreamer
from fakes.guide import shown
from fakes.toys import agent_tensors, lines, toy_study
from pydantic import ValidationError

from sensei.agents.dreamer import DreamerAgent
from sensei.core.errors import SenseiError
from sensei.core.plugins import find, names
from sensei.exploration.sources import Source
from sensei.replay.step import Spaces
from sensei.study.models.exploration import SOURCES, ExplorationConfig, Method
from sensei.study.models.study import Study
from sensei.training.runs import explore
from sensei.world_model.rssm import State

CODE, METHOD = shown("novelty.py"), shown("config/methods/novelty.yaml")
NAME = "novelty:Novelty"


@pytest.fixture
def novelty(tmp_path, monkeypatch) -> Study:
    """A study of the guide's method, whose source lies outside the repository."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "novelty.py").write_text(CODE, encoding="utf-8")
    monkeypatch.syspath_prepend(elsewhere)
    method, study = Method(**yaml.safe_load(METHOD)), toy_study()
    return study.model_copy(update={"methods": {**study.methods, "novelty": method}})


def agent_of(study: Study, seed: int = 0, **changes) -> DreamerAgent:
    method = study.methods["novelty"].model_copy(update=changes)
    weights = study.weights("toy_counting", "novelty")
    return DreamerAgent(Spaces(1, 3, True), study.settings["toy_counting"], method, weights, "explore", seed)


def test_a_source_outside_the_repository_is_learned_and_maximised(novelty, tmp_path):
    explore(novelty, "toy_counting", "novelty", 0, tmp_path)
    new = agent_of(novelty).state_dict()
    learned = {name.removeprefix("/weights/"): tensor for name, tensor in agent_tensors(tmp_path).items() if name.startswith("/weights/")}
    assert learned.keys() == new.keys()
    own = [name for name in new if name.startswith(f"sources.{NAME}.")]
    moved = {name for name in own if not torch.equal(new[name], learned[name])}
    assert moved == {name for name in own if ".predictor." in name} != set()
    assert new[own[0]].shape[-1] == 32 or any(32 in new[name].shape for name in own), "the method's options"
    told = [line for line in lines(tmp_path) if "loss/novelty" in line]
    assert told[-1]["loss/novelty"] < told[0]["loss/novelty"]
    assert all(line[f"explore/{NAME}_reward"] > 0 and line["explore/explore_share"] == 1 for line in told)


def test_its_options_are_checked(novelty):
    for wrong, said in (
        ({"outputs": "many"}, r"method Novelty: `options\.novelty:Novelty\.outputs`.*found 'many'"),
        ({"layers": 3}, r"unknown key `options\.novelty:Novelty\.layers`: expected one of clip, epsilon, learning_rate, outputs"),
    ):
        with pytest.raises(SenseiError, match=said):
            agent_of(novelty, options={NAME: wrong})
    with pytest.raises(ValidationError, match="`options` names 'semantic', which is none of the `sources`"):
        Method(title="-", sources=["disagreement"], options={"semantic": {}})


def test_every_source_of_the_room_is_found_by_its_name_and_refuses_strange_options():
    known = names(*SOURCES[:2])
    assert {"extrinsic", "semantic", "disagreement"} <= set(known)
    for name in known:
        assert Source in find(name, *SOURCES).__bases__
        with pytest.raises(ValidationError, match="extra"):
            find(name, *SOURCES).Options(no_such_option=1)


def test_names_that_no_source_has_are_refused_wherever_they_stand():
    expected = "unknown reward source: found semantics, expected one of .*semantic"
    for wrong in ({"sources": ["semantics"]}, {"go": {"semantics": 1.0}}, {"explore": {"semantics": 1.0}}):
        with pytest.raises(ValidationError, match=expected):
            Method(title="-", **wrong)
    with pytest.raises(ValidationError, match=expected):
        ExplorationConfig(explore={"semantics": 1.0})
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        ExplorationConfig(explore={"semantic": -1.0})
    with pytest.raises(ValidationError, match="`sources` names semantic twice"):
        Method(title="-", sources=["semantic", "disagreement", "semantic"])


def test_a_source_without_a_weight_is_refused_before_anything_runs(novelty):
    content = novelty.model_dump()
    content["methods"]["novelty"]["explore"] = None  # the environment's weights, which do not know it
    content["explore"] = ["novelty", "plan2explore"]
    content["learn"] = ["dreamerv3"]
    with pytest.raises(ValidationError, match="no source of method novelty has a weight in toy_counting; give one of novelty:Novelty"):
        Study(**content)


def test_a_reward_is_one_number_for_every_imagined_step():
    agent = dreamer(True)
    size = agent.world_model.size
    start = State(torch.randn(ROWS, size.deter), torch.randint(size.classes, (ROWS, size.stoch)))
    dream = agent.exploration.imagine(agent.world_model.rssm, start, torch.Generator().manual_seed(0))
    assert {source.reward(dream).shape for source in agent.sources.values()} == {(HORIZON, ROWS)}
    of_states = {name: source.state_reward(dream) for name, source in agent.sources.items()}
    assert of_states["extrinsic"] is of_states["disagreement"] is None
    assert torch.equal(of_states["semantic"][1:], agent.sources["semantic"].reward(dream))


def test_sources_read_the_world_model_and_do_not_own_it():
    agent = dreamer(True)
    owned = {name.split(".")[1] for name in agent.state_dict() if name.startswith("sources.")}
    assert owned == {"disagreement"}, "the only one with something to learn"
    assert len(list(agent.parameters())) == len(set(map(id, agent.parameters())))


def test_the_module_of_a_source_is_not_imported_to_check_a_study(tmp_path, monkeypatch):
    (tmp_path / "heavy.py").write_text("raise AssertionError('imported')\nclass Source: ...\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    assert Method(title="-", sources=["heavy:Source"], explore={"heavy:Source": 1}).explores
    assert not Path("heavy.py").exists()
