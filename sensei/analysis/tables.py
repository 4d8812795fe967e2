"""Tables of final numbers: CSV for machines, Markdown for people."""

from pathlib import Path

import pandas as pd

from sensei.config import Study

TABLES = ("interactions", "downstream", "reward_model")


def make(study: Study, results: Path, folder: Path) -> list[Path]:
    """Write `folder`/{interactions,downstream,reward_model}.{csv,md} from the files below `results` (= results/{study}).

    Reads scores.parquet and {env}/reward/{annotator}/card.json. Returns the paths written.

    Raises:
        SenseiError: a missing or damaged input, named.
    """
    raise NotImplementedError


def interactions(study: Study, scores: pd.DataFrame) -> pd.DataFrame:
    """One row per environment, event and method: seeds, steps, mean, low, high (95 % bootstrap interval), standard error."""
    raise NotImplementedError
