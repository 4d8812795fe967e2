"""From one generation to the next: the state that a run leaves, and that with which another goes on, under a new reward model.

What a further generation begins with is an ordinary checkpoint in its own folder, so that killed at any moment it goes on as any run:
the agent, the random streams and the episodes under way as they were, and the replay with rewards of the new model in all its steps.
"""

import logging
import os
import shutil
from pathlib import Path

from sensei.core.errors import SenseiError
from sensei.core.files import flush_folder, writing
from sensei.replay.episodes import episode_name, link
from sensei.replay.relabel import relabel
from sensei.reward.scorer import RewardScorer
from sensei.study.layout import RunFiles
from sensei.training import checkpoint
from sensei.training.run import Run

log = logging.getLogger("sensei.training")
OWN = ("steps", "reward_model", "before")  # of a run's description, what a generation has of its own


def hand_on(run: Run) -> None:
    """Put the state of a complete run where a further generation looks for it, and where the run itself does not."""
    files = run.files
    with writing(files.handed_on):
        if files.handed_on.exists():
            shutil.rmtree(files.handed_on)
        os.rename(files.checkpoint, files.handed_on)
        flush_folder(files.folder)


def take_over(run: Run) -> None:
    """Write the checkpoint with which `run` begins, the state itself last.

    Raises:
        SenseiError: the run before it is another one's, or what it left is not whole.
    """
    files, before = run.files, RunFiles(run.before)
    state = checkpoint.load(before.handed_on_state, run.device, arrays=True)
    saved, wanted = ({key: value for key, value in said.items() if key not in OWN} for said in (state["run"], run.description()))
    checkpoint.check_run(before.handed_on_state, saved, wanted)
    with writing(files.checkpoint):
        shutil.copytree(before.handed_on, files.checkpoint, ignore=shutil.ignore_patterns(before.state.name))
        files.episodes.mkdir(parents=True, exist_ok=True)
        for name in state["parts"]:
            if (files.folder / name).parent == files.episodes:
                link(before.folder / name, files.folder / name)
    if fault := checkpoint.fault(files.folder, state["parts"]):
        raise SenseiError(f"what {run.title} goes on with is damaged: {fault}", hint=f"delete {before.agent}: `snakemake` makes it again")
    if state["experience"] and run.reward_model:
        scorer, replay = RewardScorer.load(run.reward_model, run.device), state["experience"]["replay"]
        paths = [_episodes(state, files, worker) for worker in range(len(replay["counts"]))]
        state["experience"]["replay"] = relabel(files.replay, replay, paths, scorer)
    checkpoint.save(files.state, state | {"run": run.description()})
    log.info("%s goes on from step %d with rewards of its own", run.title, state["step"])


def _episodes(state: dict, files: RunFiles, worker: int) -> list[Path]:
    """Files of a worker's episodes, the one that is running last."""
    finished = [row["episode"] for row in state["episodes"]["finished"] if row["worker"] == worker]
    paths = [files.episodes / episode_name(worker, number) for number in sorted(finished)]
    running = files.running_episode(state["step"], worker)
    return [*paths, *([running] if running.exists() else [])]
