"""Values of the paper's figures, as CSV files beside this one; README.md says where they are from."""

from pathlib import Path

import numpy as np
import pandas as pd

from sensei.core.errors import SenseiError

FOLDER = Path(__file__).parent
EARLY = 300_000  # steps; the authors' early checkpoints were written before
CURVES = {  # of a reward model, as our own curves.csv calls them -> in the published logs
    "train_loss": "train/epoch_loss",
    "train_accuracy": "train/train_accs",
    "validation_loss": "validation/epoch_loss",
    "validation_accuracy": "validation/validation_accs",
}
SETTINGS = ["robodesk", "robodesk_right_camera", "robodesk_oracle_p2x", "robodesk_oracle_ceeus", "keyroom", "keychest", "pokemon"]


def titles() -> dict[str, str]:
    """How the paper writes the name of an environment, a method or an annotator."""
    return pd.read_csv(FOLDER / "titles.csv").set_index("name")["title"].to_dict()


def bars(*figures: int) -> pd.DataFrame:
    """The bars of some figures of the paper, by default of all, as `paper_figures.csv` has them.

    Raises:
        SenseiError: one of the figures has no bars there.
    """
    return _of("paper_figures.csv", figures)


def curves(*figures: int) -> pd.DataFrame:
    """The curves of all panels of some figures of the paper, by default of all, as `paper_curves.csv` has them.

    Raises:
        SenseiError: one of the figures has no curves there.
    """
    return _of("paper_curves.csv", figures)


def value(figure: int, environment: str, method: str, metric: str) -> pd.Series:
    """One bar: mean, error, error_kind, seeds, steps.

    Raises:
        SenseiError: the figure shows no such bar. A value that was not published is never a zero.
    """
    table = bars(figure)
    keys = {"environment": environment, "method": method, "metric": metric}
    for column, wanted in keys.items():
        if wanted not in set(table[column]):
            known = ", ".join(dict.fromkeys(table[column]))
            raise SenseiError(f"figure {figure} of the paper has no {column} {wanted!r}", expected=f"one of {known}")
        table = table[table[column] == wanted]
    return table.iloc[0]


def _of(file: str, figures: tuple[int, ...]) -> pd.DataFrame:
    """Rows of `figures`, of all if there are none; column `number` is the figure's, without the letter of its panel."""
    table = pd.read_csv(FOLDER / file, dtype={"figure": str})
    table["number"] = table["figure"].str.extract(r"(\d+)", expand=False).astype(int)
    if unknown := [figure for figure in figures if figure not in set(table["number"])]:
        known = ", ".join(map(str, sorted(set(table["number"]))))
        raise SenseiError(f"no value of the paper's figure {unknown[0]} is in {file}", expected=f"one of {known}")
    return table[table["number"].isin(figures or table["number"])].reset_index(drop=True)


def logged(kind: str = "interaction") -> pd.DataFrame:
    """Counts of single runs in the published logs: environment, method, origin, run, environment_steps, metric, count.

    One row a run and what the figures count: what they sum (three buttons) is summed in each run.

    Args:
        kind: interaction, or task_success.
    """
    table = pd.read_csv(FOLDER / "logged_counts.csv").query("kind == @kind")
    keys = ["environment", "method", "origin", "run", "environment_steps", "metric"]
    return table.groupby(keys, sort=False)["count"].sum().reset_index()


def early_checkpoints(environment: str) -> pd.DataFrame:
    """Interactions of the authors' own runs at their early checkpoints, in the columns of `bars`; no rows if there are none.

    Mean and standard deviation (divisor n) over seeds; where the figures sum several counts, of the sum in each run.
    """
    table = logged()
    return over_runs(table[(table["origin"] == "authors") & (table["environment_steps"] < EARLY) & (table["environment"] == environment)])


def over_runs(runs: pd.DataFrame) -> pd.DataFrame:
    """Mean and standard deviation (divisor n) of some rows of `logged`, in the columns of `bars` and in the order of the figures."""
    of_figures = list(bars()["metric"].unique())
    order = [*of_figures, *(metric for metric in runs["metric"].unique() if metric not in of_figures)]
    runs = runs.assign(metric=pd.Categorical(runs["metric"], order))
    groups = runs.groupby(["environment", "metric", "method"], observed=True, sort=True)
    table = groups.agg(mean=("count", "mean"), error=("count", np.std), seeds=("count", "size"), steps=("environment_steps", "max"))
    return table.reset_index().astype({"metric": str}).assign(error_kind="standard_deviation")


def label_shares() -> pd.DataFrame:
    """The published sets of labels: environment, annotator, pairs, and how many are first, second, tie and unknown."""
    return pd.read_csv(FOLDER / "label_distribution.csv")


def reward_model_curves() -> pd.DataFrame:
    """Loss and accuracy of the published reward models: environment, annotator, origin, epoch and the columns of our own curves.csv.

    An epoch counts what was trained before: the logs measure on held-out pairs at the start of an epoch, so that their first value is that
    of a model which has learned nothing, and training itself over the epoch that ends there.
    """
    table = pd.read_csv(FOLDER / "reward_model_curves.csv")
    of_training = table["metric"].str.startswith("train/")
    table["epoch"] = table["index"] + of_training
    wide = table.pivot(index=["environment", "annotator", "origin", "epoch"], columns="metric", values="value").reset_index()
    return wide.rename(columns={theirs: ours for ours, theirs in CURVES.items()})[["environment", "annotator", "origin", "epoch", *CURVES]]


def training_metrics() -> pd.DataFrame:
    """The training logs of the replication on Robodesk: annotator, run, step (agent steps), metric, value."""
    table = pd.read_csv(FOLDER / "training_metrics.csv.gz")
    return table.assign(step=table["frame"] // 2).drop(columns="frame")  # two simulator actions an agent step


def gate_settings() -> pd.DataFrame:
    """Table 1 of the paper: method, quantile, and the weights alpha_explore, beta_explore, alpha_go, beta_go."""
    return pd.read_csv(FOLDER / "gate_settings.csv")


def hyperparameters() -> pd.DataFrame:
    """The table of Appendix B: title, name, and a column for each of `SETTINGS`; values as text."""
    return pd.read_csv(FOLDER / "hyperparameters.csv", dtype=str)


def claims() -> pd.DataFrame:
    """What the paper says: figure, statement, environment, task (none: totals over exploration), metric, better and worse method."""
    return pd.read_csv(FOLDER / "claims.csv")
