"""Entry points of the stages `explore` and `learn`."""

from dataclasses import replace
from pathlib import Path

from sensei.core import devices
from sensei.core.errors import SenseiError
from sensei.study.models.study import Study
from sensei.training.loop import train
from sensei.training.run import Run, exploration_run, task_run


def explore(
    study: Study, environment: str, method: str, seed: int, folder: Path, reward_model: Path | None = None, keep_episodes: bool = False
) -> None:
    """Exploration run: no task reward shapes the agent; writes the outputs of a run into `folder`.

    Args:
        reward_model: `reward.safetensors`, required by methods with a semantic source.
        keep_episodes: also write every episode (runs that are data for annotation).

    Raises:
        SenseiError: the method needs a reward model and none is given, or as `sensei.training.loop.train`.
    """
    run = exploration_run(study, environment, method, seed, folder)
    if run.method.needs_reward_model and reward_model is None:
        raise SenseiError(
            f"{run.title} maximises a semantic reward and has no reward model", hint="give `--reward-model reward.safetensors`"
        )
    _carry_out(replace(run, reward_model=reward_model if run.method.needs_reward_model else None, keep_episodes=keep_episodes))


def learn(study: Study, environment: str, task: str, method: str, seed: int, folder: Path, explored_agent: Path | None = None) -> None:
    """Task run, from an explored agent or from scratch; writes the outputs of a run into `folder`.

    Raises:
        SenseiError: the method explores first and no explored agent is given, or as `sensei.training.loop.train`.
    """
    run = task_run(study, environment, task, method, seed, folder)
    if run.method.explores and explored_agent is None:
        raise SenseiError(f"{run.title} starts from an explored agent and none is given", hint="give `--explored-agent agent.pt`")
    _carry_out(replace(run, explored_agent=explored_agent if run.method.explores else None))


def _carry_out(run: Run) -> None:
    run.folder.mkdir(parents=True, exist_ok=True)
    with devices.card(run.settings.training.device, run.settings.training.runs_per_gpu):
        if run.method.algorithm == "ppo":
            from sensei.agents.ppo import train_ppo  # Stable-Baselines3 takes a second to import

            train_ppo(run)
        else:
            train(run)
