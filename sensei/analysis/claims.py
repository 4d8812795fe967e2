"""What the paper says of its methods, against what a study measured: every claim is that one method comes out above another.

The number is the chance that a run of the one beats a run of the other, with a bootstrap interval over seeds: a claim holds if all of the
interval is above one half, and does not hold if all of it is below. Claims are in published/claims.csv.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics, style
from sensei.analysis.scores import counts, interactions, task_rewards
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.models.study import Settings, Study

SMOKE_UPDATES = 500  # of a world model: a study whose runs make fewer learns nothing
HOLDS, FAILS, UNDECIDED, UNTESTED = "holds", "does not hold", "undecided", "not tested"


@dataclass(frozen=True)
class Verdict:
    """One claim: the paper's figure and statement with its two values, our number, and what follows."""

    figure: int
    environment: str
    statement: str
    published: str
    ours: str
    verdict: str
    why: str


def updates(settings: Settings) -> int:
    """Updates of the world model in an exploration run."""
    return int(settings.training.updates(settings.training.explore_steps))


def is_smoke(study: Study) -> bool:
    """Whether no run of the study is long enough to learn anything."""
    return all(updates(study.settings[name]) < SMOKE_UPDATES for name in study.environments)


def judged(study: Study, scores: pd.DataFrame) -> list[Verdict]:
    """Every claim about an environment of the study."""
    return [
        _judge(study, scores, environment, claim)
        for environment in study.environments
        for claim in published.claims().itertuples()
        if claim.environment == _published_name(study, environment)
    ]


def _published_name(study: Study, environment: str) -> str:
    settings = study.settings[environment].environment
    return family(settings).published_name(settings)


def published_pair(claim: object) -> tuple[float, float]:
    """The paper's values of the better and of the worse method: means of bars, or of curves over the steps that both have."""
    if not isinstance(claim.task, str):
        return tuple(
            float(published.value(claim.figure, claim.environment, name, claim.metric)["mean"]) for name in (claim.better, claim.worse)
        )
    curves = published.curves(claim.figure)
    both = [curves[(curves["task"] == claim.task) & (curves["method"] == name)] for name in (claim.better, claim.worse)]
    steps = np.linspace(max(curve["x"].min() for curve in both), min(curve["x"].max() for curve in both), 200)
    return tuple(float(np.interp(steps, curve["x"], curve["mean"]).mean()) for curve in both)


def _judge(study: Study, scores: pd.DataFrame, environment: str, claim: object) -> Verdict:
    theirs = "{} against {}".format(*map(style.count, published_pair(claim)))
    titles = {name: method.title for name, method in study.methods.items()}
    said = claim.figure, study.settings[environment].environment.title, claim.statement, theirs
    named = [titles.get(name) or published.titles().get(name, name) for name in (claim.better, claim.worse)]
    values = [_values(study, scores, environment, claim, name) for name in (claim.better, claim.worse)]
    if lacking := [name for name, found in zip(named, values, strict=True) if found is None]:
        return Verdict(*said, "", UNTESTED, f"{' and '.join(lacking)} not in the study" if len(lacking) == 1 else "neither is in the study")
    better, worse = values
    ours = "{} against {}".format(*(style.count(found.mean()) for found in values))
    if updates(study.settings[environment]) < SMOKE_UPDATES:
        return Verdict(*said, ours, UNTESTED, "too few updates to learn anything")
    if min(len(better), len(worse)) == 1:
        return Verdict(*said, ours, UNTESTED, "one seed has no interval")
    rng = generator(0, "claims", environment, claim.statement, claim.metric)
    chance = float(statistics.probability_of_improvement(better[None], worse[None]))
    low, high = statistics.comparison_interval(statistics.probability_of_improvement, better[None], worse[None], rng)
    number = f"{ours}; chance of being above {chance:.2f} [{low:.2f}, {high:.2f}]"
    if low > 0.5:
        return Verdict(*said, number, HOLDS, "")
    if high < 0.5:
        return Verdict(*said, number, FAILS, "it is the other way round")
    return Verdict(*said, number, UNDECIDED, "the interval includes one half")


def _values(study: Study, scores: pd.DataFrame, environment: str, claim: object, method: str) -> np.ndarray | None:
    """The number of each seed; None if the study has none."""
    settings = study.settings[environment].environment
    if not isinstance(claim.task, str):
        kinds = interactions(settings) | task_rewards(settings)
        runs = counts(scores, environment, method, kinds[claim.metric]) if claim.metric in kinds and method in study.explore else []
        return runs["value"].to_numpy() if len(runs) else None
    task = next((name for name in settings.tasks if claim.task in (name, _published_name(study, environment))), None)
    chosen = (scores["environment"] == environment) & (scores["method"] == method) & (scores["metric"] == "score")
    runs = scores[chosen & (scores["task"] == task)]
    runs = runs[runs["step"] <= study.settings[environment].training.learn_steps]  # PPO may have run on
    return runs.groupby("seed")["value"].mean().to_numpy() if len(runs) else None
