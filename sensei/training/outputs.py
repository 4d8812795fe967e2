"""First and last act of every run, whatever its algorithm: no trace of an older run, and the four outputs."""

import shutil
from collections.abc import Callable
from typing import Any

from sensei.core.rng import torch_generator
from sensei.training import checkpoint
from sensei.training.episodes import Episodes
from sensei.training.evaluate import RandomPolicy, record_video
from sensei.training.logger import Logger
from sensei.training.run import Run

STATE = "state.pt"


def start_anew(run: Run) -> None:
    """Without a checkpoint to resume from, delete what a run killed before its first one has left: lines, replay, episodes."""
    if not (run.state_folder / STATE).exists():
        checkpoint.remove(run.state_folder)
        if run.keep_episodes:
            shutil.rmtree(run.folder / "episodes", ignore_errors=True)


def write_outputs(
    run: Run,
    step: int,
    agent: dict[str, Any],
    episodes: Episodes,
    logger: Logger,
    policy: RandomPolicy,
    initial_state: Callable[[int], Any],
) -> None:
    """Write `events.parquet`, `agent.pt`, `video.mp4` and `metrics.jsonl` of a complete run and delete its state.

    Args:
        step: agent steps taken.
        agent: what `agent.pt` holds beside the run's identity; tensors, numbers, text and containers of them.
        policy: gives the acting policy for a source of randomness.
    """
    episodes.keep_running()
    episodes.write(run.folder / "events.parquet")
    checkpoint.save(run.folder / "agent.pt", {"agent": agent, "identity": run.identity(), "step": step})
    randomness = torch_generator(run.seed, "video", device=run.device)
    record_video(run, run.folder / "video.mp4", policy(randomness), initial_state)
    logger.publish(run.folder / "metrics.jsonl")
    checkpoint.remove(run.state_folder)
