"""Learning a task from an explored agent."""

import pytest
import torch
from fakes.toys import lines, scores, tensors, toy_study

from sensei.agents.dreamer import DreamerAgent
from sensei.core.errors import SenseiError
from sensei.replay.step import Spaces
from sensei.training.runs import explore, learn

COUNTING = Spaces(flags=1, actions=3, discrete=True)


@pytest.fixture(scope="module")
def explored(tmp_path_factory):
    """agent.pt of an exploration run."""
    folder = tmp_path_factory.mktemp("explored")
    explore(toy_study(), "toy_counting", "plan2explore", 0, folder)
    return folder / "agent.pt"


def task_agent(behaviour: str = "keep", spaces: Spaces = COUNTING, seed: int = 1) -> DreamerAgent:
    study = toy_study(training={"explored_behaviour": behaviour})
    weights = study.weights("toy_counting", "plan2explore")
    return DreamerAgent(spaces, study.settings["toy_counting"], study.methods["plan2explore"], weights, "learn", seed)


def by_part(agent: dict) -> dict[str, dict[str, torch.Tensor]]:
    """Tensors of an agent's checkpoint, of weights and optimisers, by the part they belong to."""
    parts: dict[str, dict[str, torch.Tensor]] = {}
    for kind in ("weights", "optimisers"):
        for name, tensor in tensors(agent[kind]).items():
            parts.setdefault(name.strip("/").split("/")[0].split(".")[0], {})[f"{kind}{name}"] = tensor
    return parts


def assert_equal(left: dict[str, torch.Tensor], right: dict[str, torch.Tensor]) -> None:
    assert left.keys() == right.keys()
    assert [name for name, tensor in left.items() if not torch.equal(tensor, right[name])] == []


@pytest.mark.parametrize("behaviour", ["keep", "fresh"])
def test_the_model_goes_on_and_the_task_behaviour_only_if_kept(explored, behaviour):
    """Weights, normalisers and optimisers alike; `fresh` is what a new agent of that seed begins with."""
    before = torch.load(explored, weights_only=True)["agent"]
    agent = task_agent(behaviour)
    agent.start_from(before)
    theirs, ours, new = (by_part(checkpoint) for checkpoint in (before, agent.checkpoint(), task_agent().checkpoint()))
    assert_equal(ours["world_model"], theirs["world_model"])
    assert_equal(ours["task"], (theirs if behaviour == "keep" else new)["task"])
    assert any("exp_avg" in name for name in ours["world_model"])
    assert any("exp_avg" in name for name in ours["task"]) == (behaviour == "keep")
    assert not {"exploration", "sources"} & ours.keys(), "nothing explores in the task phase"


def test_another_task_begins_with_its_own_reward_head_and_a_fresh_behaviour(tmp_path):
    explore(toy_study("toy_keydoor"), "toy_keydoor", "plan2explore", 0, tmp_path)
    before = torch.load(tmp_path / "agent.pt", weights_only=True)["agent"]
    study = toy_study("toy_keydoor")
    agent, new = (
        DreamerAgent(
            Spaces(1, 4, True, 2),
            study.settings["toy_keydoor"],
            study.methods["plan2explore"],
            study.weights("toy_keydoor", "plan2explore"),
            "learn",
            1,
        )
        for _ in range(2)
    )
    agent.start_from(before, task=1)
    heads, head = "world_model.task_heads.", agent.world_model.reward_heads["extrinsic"].state_dict()
    assert torch.equal(head["output"], before["weights"][heads + "output"][1:])
    assert torch.equal(head["from_deter"], before["weights"][heads + "from_deter"][:, 1:])
    assert torch.equal(head["norm_weight"], before["weights"][heads + "norm_weight"][:, 1:])
    assert torch.equal(agent.world_model.rssm.gates.weight, before["weights"]["world_model.rssm.gates.weight"])
    assert_equal(by_part(agent.checkpoint())["task"], by_part(new.checkpoint())["task"])


@pytest.mark.parametrize("spaces", [Spaces(2, 3, True), Spaces(1, 4, True), Spaces(1, 3, False)])
def test_an_agent_of_another_environment_is_refused(explored, spaces):
    with pytest.raises(SenseiError, match="the explored agent belongs to another environment: found .*expected"):
        task_agent(spaces=spaces).start_from(torch.load(explored, weights_only=True)["agent"])


def test_a_task_run_starts_from_the_file_and_says_so(explored, tmp_path):
    study = toy_study()
    learn(study, "toy_counting", "counting", "plan2explore", 0, tmp_path / "explored", explored)
    learn(study, "toy_counting", "counting", "dreamerv3", 0, tmp_path / "scratch")
    assert len(scores(tmp_path / "explored")) == len(scores(tmp_path / "scratch")) == 4
    first, scratch = (next(line for line in lines(tmp_path / name) if "loss/image" in line) for name in ("explored", "scratch"))
    assert first["loss/image"] < scratch["loss/image"], "an explored model knows the pictures"
    run = torch.load(tmp_path / "explored" / "agent.pt", weights_only=True)["run"]
    assert len(run["explored_agent"]) == 64, "the digest of the file"


def test_a_run_without_its_explored_agent_or_with_a_damaged_one_is_refused(explored, tmp_path):
    with pytest.raises(SenseiError, match="starts from an explored agent and none is given"):
        learn(toy_study(), "toy_counting", "counting", "plan2explore", 0, tmp_path)
    broken = tmp_path / "broken.pt"
    broken.write_bytes(explored.read_bytes()[:1000])
    with pytest.raises(SenseiError, match=r"broken\.pt is damaged"):
        learn(toy_study(), "toy_counting", "counting", "plan2explore", 0, tmp_path, broken)
    with pytest.raises(SenseiError, match="belongs to another environment"):
        learn(toy_study("toy_keydoor"), "toy_keydoor", "keydoor", "plan2explore", 0, tmp_path, explored)
