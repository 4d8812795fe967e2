"""Which frames are compared."""

from pathlib import Path

import pandas as pd

from sensei.config import PairsConfig


def make_pairs(collections: dict[int, Path], config: PairsConfig, seed: int, pairs_path: Path, frames_path: Path) -> pd.DataFrame:
    """Draw `config.number` pairs and write `pairs_path` (parquet) and `frames_path` (npz: image [F, h, w, 3], flags [F, n]).

    collections: exploration seed -> folder of its collection (`{env}/collect/seed{seed}`, as `store.collect` wrote it).
    """
    raise NotImplementedError
