"""First and last act of every run: no trace of an older run, and the four outputs."""

import shutil

from sensei.agents.contract import Agent
from sensei.core.rng import torch_generator
from sensei.training import checkpoint
from sensei.training.episodes import Episodes
from sensei.training.evaluate import record_video
from sensei.training.logger import Logger
from sensei.training.run import Run


def start_anew(run: Run) -> None:
    """Without a checkpoint to resume from, delete what a run killed before its first one has left: lines, replay, episodes."""
    if not run.files.state.exists():
        checkpoint.remove(run.files.checkpoint)
        if run.keep_episodes:
            shutil.rmtree(run.files.episodes, ignore_errors=True)


def write_outputs(run: Run, step: int, agent: Agent, episodes: Episodes, logger: Logger) -> None:
    """Write the outputs of a complete run and delete its state.

    Args:
        step: agent steps taken.
    """
    episodes.keep_running()
    episodes.write(run.files.events)
    content = {"agent": agent.checkpoint(), "identity": run.identity(), "step": step}
    checkpoint.save(run.files.agent, checkpoint.plain(content))
    record_video(run, agent, torch_generator(run.seed, "video", device=run.device))
    logger.publish()
    checkpoint.remove(run.files.checkpoint)
