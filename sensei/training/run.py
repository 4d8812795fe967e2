"""What one training run is, independent of the study it belongs to."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sensei.agents.contract import Phase
from sensei.core.devices import device_of
from sensei.core.files import sha256
from sensei.study.layout import RunFiles
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings, Study


@dataclass(frozen=True)
class Run:
    """One environment, method and seed in one phase.

    Attributes:
        folder: where the outputs go, and the state that a resumed run needs.
        task: whose reward is paid.
        steps: agent steps after which it ends.
        reward_model: file of the semantic reward model, None if the method needs none.
        explored_agent: the agent that a task run starts from, None from scratch.
        keep_episodes: write every episode to a file (runs that are data for annotation).
        before: folder of the run with whose state it begins, that of an earlier generation; None to begin from scratch.
        goes_on: leave the state for a further generation.
        study: what trackers call the runs of one study.
    """

    environment: str
    method_name: str
    method: Method
    settings: Settings
    weights: ExplorationConfig
    phase: Phase
    task: str
    steps: int
    seed: int
    folder: Path
    reward_model: Path | None = None
    explored_agent: Path | None = None
    keep_episodes: bool = False
    before: Path | None = None
    goes_on: bool = False
    study: str = ""

    @property
    def title(self) -> str:
        """Name for progress lines and errors."""
        return f"{self.environment}/{self.phase if self.phase == 'explore' else self.task}/{self.method_name}/seed{self.seed}"

    @property
    def files(self) -> RunFiles:
        """Where its files are."""
        return RunFiles(self.folder)

    @property
    def all_steps(self) -> int:
        """Agent steps of all generations together."""
        return self.settings.training.explore_steps if self.before or self.goes_on else self.steps

    @property
    def stream(self) -> str:
        """Random stream of its environments, a part of the seed of every episode."""
        return "explore" if self.phase == "explore" else "task"

    @property
    def device(self) -> str:
        """`cpu` or `cuda`."""
        return device_of(self.settings.training.device)

    def description(self) -> dict[str, Any]:
        """All that determines the result, as plain values: from them the agent is made again, and a checkpoint of others is refused."""
        settings = self.settings.model_dump(mode="json", exclude={"training": {"runs_per_gpu", "own_steps", "trackers"}})
        models = {"settings": settings, "method": self.method.model_dump(mode="json"), "weights": self.weights.model_dump(mode="json")}
        digests = {name: sha256(path) if (path := getattr(self, name)) else None for name in ("reward_model", "explored_agent")}
        begun = {"before": sha256(RunFiles(self.before).agent)} if self.before else {}
        return models | {name: getattr(self, name) for name in ("phase", "task", "steps", "seed")} | digests | begun


def exploration_run(study: Study, environment: str, method: str, seed: int, folder: Path) -> Run:
    """The exploration run of `method` as `study` describes it; reward model and episode keeping are left to the caller."""
    settings = study.settings[environment]
    return Run(
        environment,
        method,
        study.methods[method],
        settings,
        study.weights(environment, method),
        "explore",
        settings.environment.tasks[0],
        settings.training.explore_steps,
        seed,
        Path(folder),
        study=study.study,
    )


def task_run(study: Study, environment: str, task: str, method: str, seed: int, folder: Path) -> Run:
    """The run of `method` on `task` as `study` describes it; the explored agent is left to the caller."""
    run = exploration_run(study, environment, method, seed, folder)
    return replace(run, phase="learn", task=task, steps=run.settings.training.task_steps(method))
