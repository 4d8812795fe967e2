"""Entry points of the stages `explore` and `learn`."""

from dataclasses import replace
from pathlib import Path

from sensei.core.devices import place_on_gpu
from sensei.core.errors import SenseiError
from sensei.study.models.study import Study
from sensei.training.loop import opened
from sensei.training.run import Run, exploration_run, task_run


def explore(
    study: Study,
    environment: str,
    method: str,
    seed: int,
    folder: Path,
    reward_model: Path | None = None,
    *,
    keep_episodes: bool = False,
    until: int | None = None,
    before: Path | None = None,
    goes_on: bool = False,
) -> None:
    """Exploration run: no task reward shapes the agent; writes the outputs of a run into `folder`.

    Args:
        reward_model: `reward.safetensors`, required by methods with a semantic source.
        keep_episodes: also write every episode (runs that are data for annotation).
        until: agent steps after which a generation ends; None: the study's `explore_steps`.
        before: folder of the run of the generation before, which this one goes on with.
        goes_on: leave the state for a further generation, for which episodes have to be kept too.

    Raises:
        SenseiError: the method needs a reward model and none is given, or as `carry_out`.
    """
    run = exploration_run(study, environment, method, seed, folder)
    if run.method.needs_reward_model and reward_model is None:
        raise SenseiError(
            f"{run.title} maximises a semantic reward and has no reward model", hint="give `--reward`, made by stage `distil`"
        )
    reward = reward_model if run.method.needs_reward_model else None
    segment = {"steps": until or run.steps, "before": before, "goes_on": goes_on}
    carry_out(replace(run, reward_model=reward, keep_episodes=keep_episodes, **segment))


def learn(study: Study, environment: str, task: str, method: str, seed: int, folder: Path, explored_agent: Path | None = None) -> None:
    """Task run, from an explored agent or from scratch; writes the outputs of a run into `folder`.

    Raises:
        SenseiError: the method explores first and no explored agent is given, or as `carry_out`.
    """
    run = task_run(study, environment, task, method, seed, folder)
    if run.method.explores and explored_agent is None:
        raise SenseiError(f"{run.title} starts from an explored agent and none is given", hint="give `--explored`, made by stage `explore`")
    carry_out(replace(run, explored_agent=explored_agent if run.method.explores else None))


def carry_out(run: Run) -> None:
    """Carry out a run, whatever its algorithm, and write its outputs.

    Killed at any moment and started again it continues from its last checkpoint and, on a CPU, ends with the same bytes.

    Raises:
        SenseiError: the checkpoint there belongs to another configuration or is damaged, or a worker died.
    """
    with place_on_gpu(run.settings.training.device, run.settings.training.runs_per_gpu), opened(run) as loop:
        loop.run_to_the_end()
