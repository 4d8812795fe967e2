"""PPO's side of the environments: what Stable-Baselines3 sees, step by step. Seeds and resuming: test_training_resume.py."""

import numpy as np
import pytest
from fakes.toys import dial_study, lines, scores, toy_study

from sensei.agents.ppo import Environments
from sensei.core.errors import SenseiError
from sensei.envs.vector.environment import VectorEnvironment
from sensei.training.episodes import Episodes
from sensei.training.runs import learn

WORKERS = 4


@pytest.fixture
def environments():
    """Counting: the picture says how many steps the episode has, after which action."""
    config = toy_study().settings["toy_counting"].environment
    with VectorEnvironment(config, 40, 0, "task", WORKERS) as vector:
        adapter = Environments(vector, Episodes(WORKERS, vector.event_names, vector.state_names, None))
        adapter.begin()
        yield adapter


def counts(image: np.ndarray) -> list[int]:
    """Steps taken, from pictures [workers, 3, H, W]."""
    return image[:, 0, 0, 0].tolist()


def test_a_finished_episode_is_begun_anew_within_the_step(environments):
    """No step crosses the border: the last observation is in the info, the next one is the first of the next episode."""
    observation, before = environments.reset(), [0] * WORKERS
    assert observation["image"].shape == (WORKERS, 3, 40, 40) and counts(observation["image"]) == before
    timeouts, ends = 0, 0
    for step in range(1, 101):
        actions = np.random.default_rng(step).integers(3, size=WORKERS)
        observation, rewards, dones, infos = environments.step(actions)
        after = [count + 1 for count in before]
        np.testing.assert_allclose(rewards, np.array(after) / 100, rtol=1e-6)
        for worker, info in enumerate(infos):
            assert dones[worker] == ("terminal_observation" in info)
            if dones[worker]:
                last = info["terminal_observation"]
                assert last["image"][:2, 0, 0].tolist() == [after[worker], 10 * (actions[worker] + 1)]
                assert last["flags"].tolist() == [after[worker] % 2]
                timeouts += info["TimeLimit.truncated"]
                ends += not info["TimeLimit.truncated"]
                assert not info["TimeLimit.truncated"] or after[worker] == 20
        before = [0 if done else count for done, count in zip(dones, after, strict=True)]
        assert counts(observation["image"]) == before
        assert environments.steps == step * WORKERS
    assert timeouts > 3 and ends > 3, "both kinds of end were seen"
    table = environments.episodes.table()
    assert table["length"].sum() == environments.steps and table["finished"].sum() == timeouts + ends


def test_pictures_too_small_for_its_convolutions_are_refused(tmp_path):
    with pytest.raises(SenseiError, match=r"toy_counting/counting/ppo/seed0: `world_model.image_size` .* found 16, expected at least 36"):
        learn(toy_study(), "toy_counting", "counting", "ppo", 0, tmp_path)


def test_continuous_actions_without_flags(tmp_path):
    learn(dial_study(training={"learn_steps": 300}), "dial", "dial", "ppo", 0, tmp_path)
    assert len(scores(tmp_path)) == 4
    losses = [line for line in lines(tmp_path) if "loss/value_loss" in line]
    assert losses and all(np.isfinite(list(line.values())).all() for line in losses)
