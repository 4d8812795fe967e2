"""Tables of final numbers: CSV for machines, Markdown for people."""

from pathlib import Path

import numpy as np
import pandas as pd

from sensei.analysis import published, statistics
from sensei.analysis.figures.reward_model import read_card
from sensei.analysis.scores import EXPLORE, read_scores
from sensei.config import Study
from sensei.io import atomic
from sensei.rng import generator

TABLES = ("interactions", "downstream", "reward_model")
ALL = "all environments"


def make(study: Study, results: Path, folder: Path) -> list[Path]:
    """Write `folder`/{interactions,downstream,reward_model}.{csv,md} from the files below `results` (= results/{study}).

    Reads scores.parquet and {env}/reward/{annotator}/card.json. Returns the paths written.

    Raises:
        SenseiError: a missing or damaged input, named.
    """
    scores = read_scores(Path(results) / "scores.parquet")
    contents = (interactions(study, scores), downstream(study, scores), reward_model(_cards(study, Path(results))))
    written = []
    for name, table in zip(TABLES, contents, strict=True):
        for suffix, text in ((".csv", table.to_csv(index=False, lineterminator="\n")), (".md", markdown(table))):
            path = Path(folder) / f"{name}{suffix}"
            with atomic(path) as temporary:
                temporary.write_text(text, encoding="utf-8")
            written.append(path)
    return written


def _cards(study: Study, results: Path) -> dict[tuple[str, str], dict]:
    keys = [(environment, annotator) for environment in study.environments for annotator in study.annotators]
    return {key: read_card(results / key[0] / "reward" / key[1] / "card.json") for key in keys}


def interactions(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per environment, event and method, totals over the exploration run.

    Columns environment, event, method, seeds, steps, mean, low, high (95 % bootstrap interval of the mean), standard_error
    (divisor n) and, with their own steps, the paper's published_mean, published_error (standard error), published_steps.
    """
    bars = published.bars(5).set_index(["environment", "metric", "method"])[["mean", "error", "steps"]]
    rows = []
    for environment in study.environments:
        settings = study.settings[environment].environment
        for event in settings.events:
            for method in study.explore:
                row = {
                    "environment": environment,
                    "event": event,
                    "method": method,
                    **_summary(scores, environment, EXPLORE, event, method),
                }
                key = (settings.tasks[0], event, method)
                theirs = bars.loc[key] if key in bars.index else pd.Series({"mean": np.nan, "error": np.nan, "steps": np.nan})
                rows.append(row | {f"published_{name}": theirs[name] for name in ("mean", "error", "steps")})
    return pd.DataFrame(rows)


def downstream(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per environment and learning method: the mean of the last 3 evaluations of a run.

    Columns environment, method, seeds, steps, mean, low, high, standard_error, interquartile_mean, better (chance that a run of
    the study's first method in `learn` beats a run of this one), better_low, better_high. With several environments, rows
    "all environments" pool them, each environment one stratum of the bootstrap.
    """
    first = study.learn[0]
    groups = [(environment, [environment]) for environment in study.environments]
    if len(study.environments) > 1:
        groups.append((ALL, study.environments))
    rows = []
    for name, environments in groups:
        best = _final(study, scores, environments, first)
        for method in study.learn:
            values = _final(study, scores, environments, method)
            row = {"environment": name, "method": method, **_statistics(values, name, "final_score", method)}
            row["steps"] = scores.loc[
                (scores["method"] == method) & scores["environment"].isin(environments) & (scores["metric"] == "final_score"), "step"
            ].max()
            row["interquartile_mean"] = float(statistics.interquartile_mean(values))
            if method != first:
                row["better"] = float(statistics.probability_of_improvement(best, values))
                row["better_low"], row["better_high"] = statistics.improvement_interval(best, values, generator(0, "better", name, method))
            rows.append(row)
    order = [
        "environment",
        "method",
        "seeds",
        "steps",
        "mean",
        "low",
        "high",
        "standard_error",
        "interquartile_mean",
        "better",
        "better_low",
        "better_high",
    ]
    return pd.DataFrame(rows).reindex(columns=order)


def reward_model(cards: dict[tuple[str, str], dict]) -> pd.DataFrame:
    """One row per environment and annotator: the chosen epoch and how often the model is right on held-out pairs.

    Columns environment, annotator, epoch, validation_loss, then share, low, high (95 % Wilson interval) and number of clear held-out
    pairs: accuracy_* against the annotator's own labels, oracle_* against the oracle's.

    Args:
        cards: reward cards by (environment, annotator).
    """
    rows = []
    for (environment, annotator), card in cards.items():
        row = {
            "environment": environment,
            "annotator": annotator,
            "epoch": card["chosen_epoch"],
            "validation_loss": card["validation_loss"],
        }
        for name, accuracy in (("accuracy", card["held_out"]), ("oracle", card["oracle"] or {})):
            row |= {f"{name}_{key}": accuracy.get(key) for key in ("share", "low", "high", "count")}
        rows.append(row)
    return pd.DataFrame(rows)


def _final(study: Study, scores: pd.DataFrame, environments: list[str], method: str) -> np.ndarray:
    """Final scores [environments, seeds]; `tabulate` has seen to it that no run is missing."""
    chosen = scores[(scores["metric"] == "final_score") & (scores["method"] == method)]
    table = chosen.pivot(index="environment", columns="seed", values="value").loc[environments]
    assert table.notna().all(axis=None), f"{study.study}: a final score of {method} is missing"
    return table.to_numpy()


def _summary(scores: pd.DataFrame, environment: str, task: str, metric: str, method: str) -> dict[str, float]:
    keys = ("environment", environment), ("task", task), ("metric", metric), ("method", method)
    runs = scores[np.logical_and.reduce([scores[column] == value for column, value in keys])]
    return {**_statistics(runs["value"].to_numpy()[None], environment, metric, method), "steps": int(runs["step"].max())}


def _statistics(values: np.ndarray, *names: str) -> dict[str, float]:
    """Seeds, mean, interval and standard error of values [strata, seeds]; the standard error only of a single stratum."""
    low, high = statistics.bootstrap_interval(values, generator(0, "tables", *names))
    error = float(statistics.standard_error(values[0])) if len(values) == 1 else np.nan
    return {"seeds": values.shape[1], "mean": float(values.mean()), "low": low, "high": high, "standard_error": error}


def markdown(table: pd.DataFrame) -> str:
    """`table` as a Markdown table; numbers with four significant digits, empty cells for what there is not."""
    lines = [[name.replace("_", " ") for name in table.columns], ["---"] * len(table.columns)]
    lines += [[cell(value).replace("|", "\\|") for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(value: object) -> str:
    """A value as text for people: four significant digits, thousands separated, nothing for NaN."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:.4g}"
