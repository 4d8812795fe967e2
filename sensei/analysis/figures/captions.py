"""Sentences that several captions share."""

from collections.abc import Iterable

import pandas as pd

from sensei.analysis import published
from sensei.analysis.statistics import BOOTSTRAP
from sensei.envs.registry import family
from sensei.study.models.study import Study

GATES = {
    "reward_quantile": "the paper's gate (running quantile of the predicted semantic reward)",
    "return_range": "the released code's gate (semantic return against an inter-percentile range)",
}

WILSON = "95 % Wilson of episodes"
LINES = {  # what error bars are, on a picture
    "standard deviation": "± SD",
    "standard error": "± SE",
    BOOTSTRAP: "95 % interval",
    WILSON: "95 % interval of episodes, where runs agree",
}

WORDS = {
    "standard deviation": "plus and minus one standard deviation",
    "standard error": "plus and minus one standard error",
    BOOTSTRAP: "the 95 % interval of the mean over seeds (percentile bootstrap, 2,000 resamples)",
}


def listing(parts: list[str]) -> str:
    """a; a and b; a, b and c."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def number(count: int, noun: str) -> str:
    """1 seed; 2 seeds."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def seeds(study: Study) -> str:
    """3 seeds; or, where environments have seeds of their own: 10 seeds (Robodesk: 3)."""
    own = [f"{study.settings[name].environment.title}: {len(values)}" for name, values in study.environment_seeds.items()]
    shared = number(len(study.seeds), "seed")
    if not own:
        return shared
    if len(own) == len(study.environments):
        return f"seeds {', '.join(own)}"
    return f"{shared} ({', '.join(own)})"


def most_seeds(study: Study) -> int:
    """Seeds of the environment with the most."""
    return max(len(study.seeds_of(environment)) for environment in study.environments)


def error_kind(study: Study, environment: str, figures: tuple[int, ...] = ()) -> str:
    """What error bars of ours are: as the study says; for `published`, as in those of the paper's `figures`, by default all, that show it.

    A figure of the paper without error bars has the interval beside it.
    """
    if study.error_bars != "published":
        return {"bootstrap": BOOTSTRAP}.get(study.error_bars, study.error_bars.replace("_", " "))
    settings = study.settings[environment].environment
    name = family(settings).published_name(settings)
    shown = (table[(table["environment"] == name) & table["number"].isin(figures or table["number"])] for table in _published())
    kinds = (kind.replace("_", " ") for table in shown for kind in table["error_kind"])
    return next((kind for kind in kinds if kind in WORDS), BOOTSTRAP)


def _published() -> tuple[pd.DataFrame, pd.DataFrame]:
    return published.bars(), published.curves()


def plus_minus(kinds: Iterable[str]) -> str:
    """What the lines or bands of a panel are, for its title: (± SD)."""
    named = [LINES[kind] for kind in dict.fromkeys(kinds) if kind in LINES]
    return f" ({', '.join(named)})" if named else ""


def band(seeds: int, what: str, kinds: Iterable[str] = (BOOTSTRAP,)) -> str:
    """What the intervals of a figure with `seeds` runs a method are; `what` names them there ("bands", "lines")."""
    if seeds == 1:
        return f"one seed, so there are no {what}"
    return f"{what} are {listing([WORDS[kind] for kind in dict.fromkeys(kinds) if kind in WORDS] or [WORDS[BOOTSTRAP]])}"


def gates(study: Study, methods: list[str]) -> str:
    """Which gate each of `methods` that has one used, as a sentence; empty if none has one."""
    used = [f"{study.methods[name].title} uses {GATES[study.methods[name].gate]}" for name in methods if study.methods[name].gate in GATES]
    return f" {'; '.join(used)}." if used else ""
