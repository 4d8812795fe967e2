"""An agent on policy in the loop: told of every step once, none of which crosses the border of an episode."""

import numpy as np
import pandas as pd
import pytest
from fakes.follower import Follower
from fakes.interrupted import Interrupted, count_steps
from fakes.toys import dial_study, lines, scores, toy_study

from sensei.study.models.exploration import Method
from sensei.study.models.study import Study
from sensei.training.runs import learn

WORKERS = 4


def study(**training) -> Study:
    """Counting: the picture says how many steps the episode has, after which action."""
    made = toy_study(training={"workers": WORKERS, "learn_steps": 400, **training})
    method = Method(title="Follower", algorithm="fakes.follower:Follower")
    return made.model_copy(update={"methods": {**made.methods, "follower": method}})


def counts(rows: dict[str, np.ndarray]) -> list[int]:
    return rows["image"][:, 0, 0, 0].tolist()


def test_it_is_told_every_step_and_episodes_begin_anew_within_it(tmp_path):
    learn(study(), "toy_counting", "counting", "follower", 0, tmp_path)
    assert len(Follower.told) == 400 / WORKERS
    ends, timeouts, before = 0, 0, [0] * WORKERS
    for number, (rows, state, ended, following) in enumerate(Follower.told, start=1):
        assert state == number and counts(rows) == before, "the rows that were acted on, and what `policy` returned with the action"
        after = [count + 1 for count in before]
        assert counts(ended) == after and not ended["is_first"].any()
        assert ended["image"][:, 0, 0, 1].tolist() == [10 * (number % 3 + 1)] * WORKERS, "the picture says which action was taken"
        np.testing.assert_allclose(ended["reward"], np.array(after) / 100, rtol=1e-6)
        before = [0 if done else count for done, count in zip(ended["is_last"], after, strict=True)]
        assert counts(following) == before and following["is_first"].tolist() == ended["is_last"].tolist()
        ends, timeouts = ends + ended["is_terminal"].sum(), timeouts + (ended["is_last"] & ~ended["is_terminal"]).sum()
    assert ends > 3 and timeouts > 3, "both kinds of end were seen"
    table = pd.read_parquet(tmp_path / "events.parquet")
    assert table["length"].sum() == 400 and table["finished"].sum() == ends + timeouts


def test_it_learns_before_it_acts_again_and_its_updates_count_as_it_says(tmp_path):
    learn(study(log_every=100), "toy_counting", "counting", "follower", 0, tmp_path)
    logged = [(line["step"], line["updates"], line.get("loss/followed")) for line in lines(tmp_path) if "updates" in line]
    assert logged == [(100, 4, 15), (200, 8, 35), (300, 14, 60), (400, 18, 85)]  # 25 turns a line, an update every 10


def test_it_resumes_in_the_middle_of_what_it_has_followed(tmp_path):
    learn(study(), "toy_counting", "counting", "follower", 0, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Interrupted):
        count_steps(patch, stop_at=70)
        learn(study(), "toy_counting", "counting", "follower", 0, tmp_path / "resumed")
    learn(study(), "toy_counting", "counting", "follower", 0, tmp_path / "resumed")
    for name in ("metrics.jsonl", "events.parquet", "agent.pt"):
        assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "resumed" / name).read_bytes(), name


def test_ppo_with_continuous_actions_and_no_flags(tmp_path):
    learn(dial_study(training={"learn_steps": 300}), "dial", "dial", "ppo", 0, tmp_path)
    assert len(scores(tmp_path)) == 4
    losses = [line for line in lines(tmp_path) if "loss/value_loss" in line]
    assert losses and all(np.isfinite(list(line.values())).all() for line in losses)
