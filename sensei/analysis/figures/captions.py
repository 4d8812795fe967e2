"""Sentences that several captions share."""

from sensei.study.models.study import Study

GATES = {
    "reward_quantile": "the paper's gate (running quantile of the predicted semantic reward)",
    "return_range": "the released code's gate (semantic return against an inter-percentile range)",
}

LINES = {"standard deviation": "± SD", "standard error": "± SE", "95 % bootstrap": "95 % interval"}  # what error bars are, on a picture

WORDS = {
    "standard deviation": "plus and minus one standard deviation",
    "standard error": "plus and minus one standard error",
    "95 % bootstrap": "the 95 % interval of the mean over seeds",
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


def band(seeds: int, what: str) -> str:
    """What the intervals of a figure with `seeds` runs a method are; `what` names them there ("bands", "lines")."""
    if seeds == 1:
        return f"one seed, so there are no {what}"
    return f"{what} are the 95 % interval of the mean over seeds (percentile bootstrap, 2,000 resamples)"


def gates(study: Study, methods: list[str]) -> str:
    """Which gate each of `methods` that has one used, as a sentence; empty if none has one."""
    used = [f"{study.methods[name].title} uses {GATES[study.methods[name].gate]}" for name in methods if study.methods[name].gate in GATES]
    return f" {'; '.join(used)}." if used else ""
