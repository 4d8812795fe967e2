"""What the paper says, judged on runs with known answers."""

import itertools

import pandas as pd
import pytest
from fakes.analysis_tree import make_study

from sensei.analysis import claims, published
from sensei.study.models.study import Study

KEYROOM = "minihack_keyroom_s15"
COLUMNS = ["environment", "task", "method", "seed", "step", "metric", "value"]


def judged(study: Study, means: dict[str, float], spread: float = 1.0) -> dict[str, claims.Verdict]:
    """Verdicts by statement, if every event and score of a method is `means[method]` plus `spread` times the seed."""
    rows = []
    for method, seed in itertools.product(means, study.seeds):
        value = means[method] + spread * seed
        for event in study.settings[KEYROOM].environment.events:
            rows.append((KEYROOM, "explore", method, seed, 20_000, event, value))
        rows += [(KEYROOM, "keyroom", method, seed, step, "score", value) for step in (6_000, 12_000)]
    found = claims.judged(study, pd.DataFrame(rows, columns=COLUMNS))
    return {f"{one.figure}: {one.statement}": one for one in found}


@pytest.fixture(scope="module")
def study() -> Study:
    return make_study(seeds=range(5))


REWARD = "5: SENSEI earns more reward than Plan2Explore"


def test_a_claim_holds_or_does_not_or_is_undecided(study):
    above = judged(study, {"sensei": 100, "plan2explore": 0})[REWARD]
    assert above.verdict == "holds" and above.ours == "102 against 2; chance of being above 1.00 [1.00, 1.00]"
    assert above.published == "51.4 against 44.4" and above.why == ""
    below = judged(study, {"sensei": 0, "plan2explore": 100})[REWARD]
    assert below.verdict == "does not hold" and below.why == "it is the other way round"
    alike = judged(study, {"sensei": 0, "plan2explore": 0})[REWARD]
    assert alike.verdict == "undecided" and "0.50 [" in alike.ours


def test_scores_are_compared_over_the_whole_task(study):
    assert judged(study, {"sensei": 1, "dreamerv3": 0}, 0.01)["7: SENSEI learns the task faster than DreamerV3"].verdict == "holds"


def test_what_was_not_run_is_not_tested(study):
    found = judged(study, {"sensei": 1})
    assert {one.verdict for one in found.values()} == {"not tested"}
    assert found[REWARD].why == "Plan2Explore not in the study"


def test_one_seed_and_a_smoke_study_test_nothing(study):
    one = make_study(seeds=(0,))
    assert judged(one, {"sensei": 100, "plan2explore": 0})[REWARD].why == "one seed has no interval"
    short = make_study(seeds=range(5), explore_steps=1_000)
    assert claims.is_smoke(short) and not claims.is_smoke(study)
    assert judged(short, {"sensei": 100, "plan2explore": 0})[REWARD].why == "too few updates to learn anything"


def test_every_claim_about_the_environment_is_there_once(study):
    found = judged(study, {"sensei": 1})
    assert len(found) == len(published.claims().query("environment == 'keyroom'"))


def test_a_claim_is_told_from_every_other_of_its_environment():
    claims = published.claims()
    assert not claims.duplicated(["statement", "environment", "figure"]).any()
