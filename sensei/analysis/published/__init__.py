"""Values of the paper's figures, as CSV files beside this one; README.md says where they are from."""

from pathlib import Path

import numpy as np
import pandas as pd

FOLDER = Path(__file__).parent
EARLY = 300_000  # steps; the authors' early checkpoints were written before


def titles() -> dict[str, str]:
    """How the paper writes the name of an environment, a method or an annotator."""
    return pd.read_csv(FOLDER / "titles.csv").set_index("name")["title"].to_dict()


def bars(*figures: int) -> pd.DataFrame:
    """The bars of some figures of the paper, by default of all, as `paper_figures.csv` has them."""
    return _of("paper_figures.csv", figures)


def curves(*figures: int) -> pd.DataFrame:
    """The curves of all panels of some figures of the paper, by default of all, as `paper_curves.csv` has them."""
    return _of("paper_curves.csv", figures)


def _of(file: str, figures: tuple[int, ...]) -> pd.DataFrame:
    """Rows of `figures`, of all if there are none; column `number` is the figure's, without the letter of its panel."""
    table = pd.read_csv(FOLDER / file, dtype={"figure": str})
    table["number"] = table["figure"].str.extract(r"(\d+)", expand=False).astype(int)
    return table[table["number"].isin(figures or table["number"])].reset_index(drop=True)


def early_checkpoints(environment: str) -> pd.DataFrame:
    """Interactions of the authors' own runs at their early checkpoints, in the columns of `bars`; no rows if there are none.

    Mean and standard deviation (divisor n) over seeds; where the figures sum several counts, of the sum in each run.
    """
    table = pd.read_csv(FOLDER / "logged_counts.csv")
    authors = (table["origin"] == "authors") & (table["kind"] == "interaction") & (table["environment_steps"] < EARLY)
    table = table[authors & (table["environment"] == environment)]
    panels = bars().query("environment == @environment")["metric"].unique()
    table["metric"] = pd.Categorical(table["metric"], panels)  # in the order of the figures
    runs = table.groupby(["metric", "method", "run"], observed=True).agg(count=("count", "sum"), steps=("environment_steps", "max"))
    groups = runs.groupby(["metric", "method"], observed=True)
    rows = groups.agg(mean=("count", "mean"), error=("count", np.std), seeds=("count", "size"), steps=("steps", "max")).reset_index()
    return rows.astype({"metric": str}).assign(environment=environment, error_kind="standard_deviation")


def label_shares() -> pd.DataFrame:
    """The published sets of labels: environment, annotator, pairs, and how many are first, second, tie and unknown."""
    return pd.read_csv(FOLDER / "label_distribution.csv")
