"""What `behaviour.task_every` costs in learning, on KeyDoor: explore, then learn the task from what was explored.

    PYTHONPATH=.:tests python tests/learning/task_every.py

prints for each of 3 seeds the score of the task behaviour when its run begins, and the mean over the run.
"""

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from fakes.toys import scores, toy_study

from sensei.training.runs import explore, learn

SETTINGS = {
    "world_model": {"learning_rate": 2e-3},
    "behaviour": {"horizon": 8, "learning_rate": 1e-3, "discount": 0.95, "entropy": 3e-3},
    "training": {
        "explore_steps": 3000,
        "learn_steps": 1500,
        "workers": 4,
        "batch_size": 16,
        "batch_length": 8,
        "train_ratio": 40,
        "prefill": 500,
        "evaluate_every": 250,
        "evaluate_episodes": 32,
        "checkpoint_every": 100_000,
    },
}


def main(every: list[int], seeds: range) -> None:
    """Print a line a run."""
    for each in every:
        behaviour = {**SETTINGS["behaviour"], "task_every": each}
        study = toy_study("toy_keydoor", episode_steps=20, **{**SETTINGS, "behaviour": behaviour})
        for seed in seeds:
            with tempfile.TemporaryDirectory() as folder:
                begin, explored, learned = time.process_time(), Path(folder, "explore"), Path(folder, "learn")
                explore(study, "toy_keydoor", "plan2explore", seed, explored)
                busy = time.process_time() - begin
                learn(study, "toy_keydoor", "keydoor", "plan2explore", seed, learned, explored / "agent.pt")
                returns = scores(learned)
                print(f"every {each}, seed {seed}: first {returns[0]:.2f}, mean {np.mean(returns):.2f}, exploring {busy:.0f} s", flush=True)


if __name__ == "__main__":
    main([int(each) for each in sys.argv[1:]] or [1, 4], range(3))
