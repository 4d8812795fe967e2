"""Episodes on disk: one compressed file an episode, checked whenever it is read."""

from pathlib import Path

import numpy as np
import pandas as pd

def episode_name(worker: int, episode: int) -> str:
    """File name of an episode: `worker03-000012.npz`."""
    return f"worker{worker:02d}-{episode:06d}.npz"


def save_episode(path: str | Path, episode: dict[str, np.ndarray]) -> None:
    """Write one episode, compressed and atomically."""
    raise NotImplementedError


def load_episode(path: str | Path, keys: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
    """Read one episode and check keys, shapes, dtypes and lengths (of `keys` only, if given). Damaged: SenseiError naming the file."""
    raise NotImplementedError


def collect(run_episodes_folder: str | Path, output_folder: str | Path) -> pd.DataFrame:
    """Verify every episode of a run, hard-link (or copy) it to `output_folder/episodes/` and write `output_folder/index.parquet`.

    Returns the index, one row an episode: file (name), worker, episode, steps (rows = observations), sha256. No episode: SenseiError.
    """
    raise NotImplementedError
