"""Tables of final numbers: CSV for machines, Markdown for people."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sensei.analysis import comparisons, published, statistics
from sensei.analysis.cards import read_reward_card
from sensei.analysis.comparisons import ALL, final_scores, tasks_of
from sensei.analysis.figures.captions import listing
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import counts, read_scores, task_rewards
from sensei.analysis.scores import interactions as kinds_of_interaction
from sensei.core.files import write_text
from sensei.core.rng import generator
from sensei.envs.registry import family
from sensei.study.layout import Layout
from sensei.study.models.study import Study

EXPLORATION = (5, 6, 16)  # the paper's figures with totals over whole exploration runs
THEIRS = {"mean": np.nan, "error": np.nan, "error_kind": None, "steps": np.nan}  # of the paper, where it has no such bar


@dataclass(frozen=True)
class Table:
    """What a table is called on the report's page, how to read it, and how it is made from `inputs`."""

    title: str
    note: str
    build: Callable[[Study, Inputs], pd.DataFrame]


def inputs(study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
    """What the tables are made from: the table of scores, and the card of every reward model."""
    return {"scores": layout.scores, "cards": [layout.reward(*names).card for names in study.label_sets()]}


def make(study: Study, layout: Layout) -> None:
    """Write every table of `TABLES` as CSV and as Markdown.

    Raises:
        SenseiError: a missing or damaged input, named.
    """
    files = Inputs(inputs(study, layout))
    for name, table in TABLES.items():
        numbers = table.build(study, files)
        texts = numbers.to_csv(index=False, lineterminator="\n"), markdown(numbers)
        for path, text in zip(layout.table(name), texts, strict=True):
            write_text(path, text)


def interactions(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per environment, event and method, totals over the exploration run.

    Columns environment, event (interactions and tasks as the paper's figures call them), method, seeds, steps, mean, low, high (95 %
    bootstrap interval of the mean), standard_error (divisor n) and, with their own steps, the paper's published_mean,
    published_error, published_error_kind, published_steps.
    """
    bars = published.bars(*EXPLORATION).set_index(["environment", "metric", "method"])[list(THEIRS)]
    rows = []
    for environment in study.environments:
        settings = study.settings[environment].environment
        for event, parts in (kinds_of_interaction(settings) | task_rewards(settings)).items():
            for method in study.explore:
                runs = counts(scores, environment, method, parts)
                if runs.empty:
                    continue
                row = {"environment": environment, "event": event, "method": method}
                row |= _statistics(runs["value"].to_numpy()[None], environment, event, method) | {"steps": int(runs["step"].max())}
                key = (family(settings).published_name(settings), event, method)
                theirs = bars.loc[key] if key in bars.index else THEIRS
                rows.append(row | {f"published_{name}": theirs[name] for name in THEIRS})
    return pd.DataFrame(rows)


def learn(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per task and learning method: the mean of the last 3 evaluations of a run.

    Columns environment, task, method, seeds, steps, mean, low, high, standard_error, interquartile_mean. With several tasks, rows
    "all environments" pool them over the seeds that all have, each task one stratum of the bootstrap.
    """
    tasks = tasks_of(study)
    groups = [(*task, [task]) for task in tasks]
    if len(tasks) > 1:
        groups.append((ALL, "", tasks))
    rows = []
    for name, task, members in groups:
        for method in study.learn:
            values = final_scores(study, scores, members, method)
            if values.shape[1] == 0:
                continue
            row = {"environment": name, "task": task, "method": method, **_statistics(values, name, task, "final_score", method)}
            runs = scores[(scores["method"] == method) & (scores["metric"] == "final_score")].set_index(["environment", "task"])
            row["steps"] = runs.loc[runs.index.isin(members), "step"].max()
            rows.append(row | {"interquartile_mean": float(statistics.interquartile_mean(values))})
    columns = "environment task method seeds steps mean low high standard_error interquartile_mean"
    return pd.DataFrame(rows).reindex(columns=columns.split())


def reward_model(study: Study, cards: list[dict]) -> pd.DataFrame:
    """One row per environment and annotator: the chosen epoch and how often the model is right on held-out pairs.

    Columns environment, annotator, epoch, validation_loss, then share, low, high (95 % Wilson interval) and number of clear held-out
    pairs: accuracy_* against the annotator's own labels, oracle_* against the oracle's.

    Args:
        cards: reward cards in the order of `Study.label_sets`.
    """
    of_pairs = ("share", "low", "high", "count")
    rows = []
    for (environment, *named), card in zip(study.label_sets(), cards, strict=True):
        row = {
            "environment": environment,
            "annotator": study.named(*named),
            "epoch": card["chosen_epoch"],
            "validation_loss": card["validation_loss"],
        }
        for name, accuracy in (("accuracy", card["held_out"]), ("oracle", card["oracle"] or {})):
            row |= {f"{name}_{key}": accuracy.get(key) for key in of_pairs}
        rows.append(row)
    columns = [f"{name}_{key}" for name in ("accuracy", "oracle") for key in of_pairs]
    return pd.DataFrame(rows, columns=["environment", "annotator", "epoch", "validation_loss", *columns])


def hyperparameters(study: Study) -> pd.DataFrame:
    """The table of Appendix B for the study's environments: name, then for each ours and, where it has one, the paper's column.

    Weights and percentile are those of the first method in `explore` that has a reward model.
    """
    theirs = published.hyperparameters().set_index("name").drop("action_repeat")  # an environment's own affair
    method = next((name for name in study.explore if study.methods[name].needs_reward_model), study.explore[0])
    table = pd.DataFrame({"hyperparameter": theirs["title"]})
    for environment in study.environments:
        config = study.settings[environment].environment
        ours = _settings_of(study, environment, method)
        table[config.title] = [_short(ours[name]) for name in theirs.index]
        if (name := family(config).published_name(config)) in theirs:
            table[f"{config.title}, paper"] = theirs[name]
    return table.reset_index(drop=True)


def _short(value: object) -> str:
    """A setting as the paper writes it: 200000, 0.25, 1e-5."""
    return value if isinstance(value, str) else re.sub(r"e-0", "e-", f"{value:g}") if isinstance(value, float) else str(value)


def _settings_of(study: Study, environment: str, method: str) -> dict[str, object]:
    """Name in the paper's table -> value of ours."""
    settings, weights = study.settings[environment], study.weights(environment, method)
    return {
        "rssm_size": settings.world_model.size,
        "ensemble_members": settings.ensemble.members,
        "train_ratio": settings.training.train_ratio,
        "quantile": weights.percentile / 100,
        "chi": float(weights.explore.get("extrinsic", 0)) if "extrinsic" in study.methods[method].sources else 0,
        "alpha_explore": weights.explore.get("semantic", 0),
        "beta_explore": weights.explore.get("disagreement", 0),
        "alpha_go": weights.go.get("semantic", 0),
        "beta_go": weights.go.get("disagreement", 0),
        "annotator": study.annotator_of(method, environment) if study.annotators_of(environment) else "none",
        "pairs": settings.pairs.number,
        "picture": family(settings.environment).annotator_side,
        "reward_batch_size": settings.reward.batch_size,
        "reward_learning_rate": settings.reward.learning_rate,
        "reward_weight_decay": settings.reward.weight_decay,
        "episode_steps": settings.environment.episode_steps,
        "explore_steps": settings.training.explore_steps,
    }


def _statistics(values: np.ndarray, *names: str) -> dict[str, float]:
    """Seeds, mean, interval and standard error of values [strata, seeds]; the standard error only of a single stratum."""
    low, high = statistics.bootstrap_interval(values, generator(0, "tables", *names))
    error = float(statistics.standard_error(values[0])) if len(values) == 1 < values.shape[1] else np.nan  # one seed has none
    return {"seeds": values.shape[1], "mean": float(values.mean()), "low": low, "high": high, "standard_error": error}


def markdown(table: pd.DataFrame) -> str:
    """`table` as a Markdown table; numbers with four significant digits, empty cells for what there is not."""
    lines = [[name.replace("_", " ") for name in table.columns], ["---"] * len(table.columns)]
    lines += [[cell(value).replace("|", "\\|") for value in row] for row in table.itertuples(index=False)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def cell(value: object) -> str:
    """A value as text for people: four significant digits, or all before the point, thousands separated; nothing for NaN."""
    if isinstance(value, str):
        return value
    if pd.isna(value):
        return ""
    return f"{value:,.0f}" if float(value).is_integer() or abs(value) >= 1000 else f"{value:.4g}"


TABLES = {
    "hyperparameters": Table(
        "Hyper-parameters",
        "Ours beside the paper's (Appendix B; Robodesk: GPT-4 with two cameras). Percentile and weights are those of the study's first "
        "method with a reward model.",
        lambda study, files: hyperparameters(study),
    ),
    "interactions": Table(
        "Interactions during exploration",
        "Totals over a run; low and high: 95 % bootstrap interval of the mean over seeds; standard error with divisor n. "
        f"Published values are the paper's (Figs. {listing(list(map(str, EXPLORATION)))}), at their own number of steps, never rescaled.",
        lambda study, files: interactions(study, read_scores(files["scores"])),
    ),
    "learn": Table(
        "Final scores of the task",
        "Mean of the last 3 evaluations of a run, then over seeds; low and high: 95 % bootstrap interval, each environment a "
        "stratum. With two or three seeds no interval can be wider than the runs themselves: read it as their spread.",
        lambda study, files: learn(study, read_scores(files["scores"])),
    ),
    "aggregates": Table(
        "Final scores over all tasks",
        "Mean, interquartile mean (the middle half of all runs) and optimality gap (by how much runs fall short of 1), with 95 % "
        "stratified bootstrap intervals, each task a stratum. With few seeds such an interval is too narrow: it covers the true value in "
        "some 75 of 100 studies with 3 seeds, in 90 with 10.",
        lambda study, files: comparisons.aggregates(study, read_scores(files["scores"])),
    ),
    "differences": Table(
        "Differences between methods",
        "Difference of the means, method less other, over exploration runs (events) and task runs (final scores); low and high: 95 % "
        "interval by Welch's t test, which holds with few seeds too. Better: chance that a run of the method beats a run of the other, "
        "ties counting half, with its 95 % bootstrap interval. One seed has no interval. Not corrected for the number of comparisons.",
        lambda study, files: comparisons.differences(study, read_scores(files["scores"])),
    ),
    "efficiency": Table(
        "Steps to a score",
        "Ratio: how many times the steps of the study's first method another needs until its mean curve over seeds reaches the score; at "
        "least: where it has not within the steps it was followed; low and high: 95 % bootstrap interval over seeds (inf: it may never "
        "arrive). All steps: with those of the exploration run. Published: the paper's mean curves, read off its figures; PPO's are "
        "sampled sparsely, so where they first cross a score says little.",
        lambda study, files: comparisons.efficiency(study, read_scores(files["scores"])),
    ),
    "reward_model": Table(
        "Reward models at the chosen epoch",
        "Shares of clear held-out pairs ranked as in the annotator's own labels (accuracy) and as by the oracle (oracle), "
        "with 95 % Wilson intervals.",
        lambda study, files: reward_model(study, [read_reward_card(path) for path in files["cards"]]),
    ),
}
