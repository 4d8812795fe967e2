"""First and last act of every run: a whole state or no trace of an older run, and the four outputs."""

import logging
import shutil
from typing import Any

from sensei.agents.contract import Agent
from sensei.core.errors import SenseiError
from sensei.core.files import remove_temporaries, writing
from sensei.core.rng import torch_generator
from sensei.replay import digests
from sensei.replay.step import Spaces
from sensei.training import checkpoint
from sensei.training.episodes import Episodes
from sensei.training.evaluate import record_video
from sensei.training.generations import hand_on, take_over
from sensei.training.logger import Logger
from sensei.training.run import Run

log = logging.getLogger("sensei.training")


def resume_or_start_anew(run: Run) -> dict[str, Any] | None:
    """The state to go on from; None for a run that starts, and then nothing is left of an earlier attempt: lines, replay, episodes.

    A state that is damaged or lacks something is none: the run says so in a line, and starts. That of a further generation starts with
    the state that the one before it has left.

    Raises:
        SenseiError: the state belongs to another configuration.
    """
    files = run.files
    state, fault = _whole_state(run) if files.state.exists() else (None, None)
    if fault:
        log.warning("%s starts anew, because its checkpoint is not whole: %s", run.title, fault)
    if state is None:
        checkpoint.forget(files)
        with writing(files.folder):
            for folder in (files.checkpoint, *([files.episodes] if run.keep_episodes else [])):
                if folder.exists():
                    shutil.rmtree(folder)
        if run.before is not None:
            take_over(run)
            state = checkpoint.load(files.state, run.device, arrays=True)
    remove_temporaries(files.checkpoint, files.episodes)
    return state


def _whole_state(run: Run) -> tuple[dict[str, Any] | None, str | None]:
    """(state, None) if all that belongs to it is there and as it was; (None, what is not) otherwise."""
    files = run.files
    try:
        state = checkpoint.load(files.state, run.device, arrays=True)  # what acting goes on with stays where it is loaded
    except SenseiError as error:
        return None, error.what
    checkpoint.check_run(files.state, state.get("run", {}), run.description())
    fault = checkpoint.fault(files.folder, state["parts"])
    if fault is None and state["experience"]:
        fault = digests.fault(files.replay, state["experience"]["replay"])
    return (None, fault) if fault else (state, None)


def write_outputs(run: Run, step: int, agent: Agent, spaces: Spaces, episodes: Episodes, logger: Logger) -> None:
    """Write the outputs of a complete run and delete its state, or put it aside for a further generation: the state itself first, so that
    a kill leaves a whole one or none.

    Args:
        step: agent steps taken.
        spaces: of its environments.
    """
    episodes.keep_running()
    episodes.write(run.files.events)
    content = {"agent": agent.checkpoint(), "run": run.description(), "spaces": tuple(spaces), "step": step}
    checkpoint.save(run.files.agent, checkpoint.plain(content))
    record_video(run, agent, torch_generator(run.seed, "video", device=run.device))
    logger.publish()
    if run.goes_on:
        hand_on(run)
    checkpoint.forget(run.files)
    shutil.rmtree(run.files.checkpoint, ignore_errors=True)  # on a network file system what is still open stays as long as this process
