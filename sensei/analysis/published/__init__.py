"""Values of the paper's figures, as CSV files beside this one; README.md says where they are from."""

from pathlib import Path

import pandas as pd

FOLDER = Path(__file__).parent
METHOD_TITLES = {"sensei": "SENSEI", "plan2explore": "Plan2Explore", "vlm_motif": "VLM-Motif", "dreamerv3": "DreamerV3", "ppo": "PPO"}
TASK_TITLES = {"keyroom": "KeyRoom-S15", "keychest": "KeyChest"}


def bars(figure: int) -> pd.DataFrame:
    """The bars of one figure of the paper, as `paper_figures.csv` has them."""
    table = pd.read_csv(FOLDER / "paper_figures.csv", dtype={"figure": str})
    return table[table["figure"] == str(figure)].reset_index(drop=True)


def curves(figure: int) -> pd.DataFrame:
    """The curves of all panels of one figure of the paper, as `paper_curves.csv` has them."""
    table = pd.read_csv(FOLDER / "paper_curves.csv", dtype={"figure": str})
    return table[table["figure"].str.fullmatch(rf"{figure}[a-z]?")].reset_index(drop=True)


def label_shares() -> pd.DataFrame:
    """The published sets of labels of Robodesk frames: annotator, pairs, and how many are first, second, tie and unknown."""
    return pd.read_csv(FOLDER / "robodesk_label_distribution.csv")
