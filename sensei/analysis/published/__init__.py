"""Values of the paper's figures, as CSV files beside this one; README.md says where they are from."""

from pathlib import Path

import numpy as np
import pandas as pd

from sensei.envs.registry import family
from sensei.study.models.environment import EnvironmentConfig

FOLDER = Path(__file__).parent
METHOD_TITLES = {
    "sensei": "SENSEI",
    "sensei_general": "SENSEI General",
    "plan2explore": "Plan2Explore",
    "vlm_motif": "VLM-Motif",
    "dreamerv3": "DreamerV3",
    "ppo": "PPO",
    "rnd": "RND",
}
TITLES = {"keyroom": "KeyRoom-S15", "keychest": "KeyChest", "robodesk": "Robodesk"}
LOGGED_NAMES = {"drawer_joint": "drawer", "slide_joint": "sliding_cabinet"}  # in the logs -> in the figures
LOGGED_STEPS = 300_000  # longest of the early checkpoints


def name_of(environment: EnvironmentConfig) -> str:
    """What the published values call an environment."""
    return family(environment).published_name(environment)


def bars(figure: int) -> pd.DataFrame:
    """The bars of one figure of the paper, as `paper_figures.csv` has them."""
    table = pd.read_csv(FOLDER / "paper_figures.csv", dtype={"figure": str})
    return table[table["figure"] == str(figure)].reset_index(drop=True)


def curves(figure: int) -> pd.DataFrame:
    """The curves of all panels of one figure of the paper, as `paper_curves.csv` has them."""
    table = pd.read_csv(FOLDER / "paper_curves.csv", dtype={"figure": str})
    return table[table["figure"].str.fullmatch(rf"{figure}[a-z]?")].reset_index(drop=True)


def early_checkpoints() -> pd.DataFrame:
    """Interactions of the authors' Robodesk runs at their checkpoints after 250K steps, in the columns of `bars`.

    Mean and standard deviation (divisor n) over seeds; `buttons` is the sum of the three buttons per run.
    """
    table = pd.read_csv(FOLDER / "robodesk_interactions.csv")
    authors = (table["origin"] == "authors") & (table["kind"] == "interaction") & (table["environment_steps"] < LOGGED_STEPS)
    table = table[authors].replace({"metric": LOGGED_NAMES})
    table["metric"] = table["metric"].where(~table["metric"].str.endswith("_button"), "buttons")
    table["metric"] = pd.Categorical(table["metric"], list(dict.fromkeys(bars(6)["metric"])))  # the panels of the figure, in its order
    runs = table.groupby(["metric", "method", "run"], observed=True).agg(count=("count", "sum"), steps=("environment_steps", "max"))
    groups = runs.groupby(["metric", "method"], observed=True)
    rows = groups.agg(mean=("count", "mean"), error=("count", np.std), seeds=("count", "size"), steps=("steps", "max")).reset_index()
    return rows.astype({"metric": str}).assign(environment="robodesk", error_kind="standard_deviation")


def label_shares() -> pd.DataFrame:
    """The published sets of labels of Robodesk frames: annotator, pairs, and how many are first, second, tie and unknown."""
    return pd.read_csv(FOLDER / "robodesk_label_distribution.csv")
