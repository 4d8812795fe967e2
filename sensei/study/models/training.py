"""The loop that acts, stores and learns."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from sensei.study.models.bounds import Count, Ratio, Rounds, RunsOnCard, Share, Steps, Workers
from sensei.study.models.names import Name, Plugin, known
from sensei.study.models.section import MOST, Section, distinct

LARGEST_BATCH = 2**20  # steps; pictures of 64 pixels fill 50 GB as numbers
TRACKERS = "sensei.training.trackers", "Tracker", "tracker"
TrackerName = Annotated[Plugin, known(*TRACKERS)]


class TrainingConfig(Section):
    """The loop that acts, stores and learns."""

    explore_steps: Steps = Field(500_000, description="agent steps of an exploration run")
    learn_steps: Steps = Field(1_000_000, description="agent steps of a task run")
    own_steps: dict[Name, Steps] = Field(
        {},
        description="method -> agent steps of its task runs where they are not `learn_steps`: PPO until it converges (paper Fig. 13), "
        "DreamerV3 with as many more as exploration took (Fig. 22)",
    )
    explored_behaviour: Literal["keep", "fresh"] = Field(
        "keep",
        description="what a task run takes over from the explored agent beside the world model. keep: the task actor and critic trained "
        "during exploration, which is for the environment's first task (they begin fresh for the others); fresh: nothing",
    )
    workers: Workers = Field(4, description="environments side by side, one process each")
    batch_size: Count = Field(16)
    batch_length: Count = Field(64, ge=2)
    train_ratio: Ratio = Field(512, description="replayed steps per agent step")
    prefill: Steps = Field(1024, description="agent steps of the random policy before the first update")
    flag_windows: Share = Field(
        0.0,
        description="share of a batch's windows that hold a step at which a flag turns on, a key that is taken say, once there is one; 0: "
        "all windows are drawn uniformly (paper). Such steps are one of hundreds, and so are those before them, in which the key is still "
        "in view",
    )
    replay_capacity: Steps = Field(1_000_000, description="steps kept")
    evaluate_every: Steps = Field(10_000, description="agent steps between evaluations of a task run")
    evaluate_episodes: Rounds = Field(1, description="episodes of one evaluation (paper: 1 a seed)")
    log_every: Steps = Field(1_000, description="agent steps between lines of metrics.jsonl")
    checkpoint_every: Steps = Field(5_000, description="agent steps between checkpoints")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = Field("float32", description="autocast type on CUDA; the CPU always uses float32")
    runs_per_gpu: RunsOnCard = Field(1, description="runs that share one GPU at a time")
    compile: Literal["off", "auto", "full"] = Field(
        "auto", description="off: plain PyTorch; auto: what pays, a CUDA graph on a GPU and C kernels on a CPU; full: torch.compile as well"
    )
    trackers: list[TrackerName] = Field(
        [],
        max_length=MOST,
        description="where else the lines of metrics.jsonl go while a run goes on: tensorboard, wandb, mlflow, or package.module:Class",
    )

    def task_steps(self, method: str) -> int:
        """Agent steps of a task run of `method`."""
        return self.own_steps.get(method, self.learn_steps)

    def updates(self, steps: int) -> float:
        """Updates of the world model in so many agent steps."""
        return steps * self.train_ratio / (self.batch_size * self.batch_length)

    @field_validator("compile", mode="before")
    @classmethod
    def off_is_a_word(cls, value: Any) -> Any:
        """Other readers of YAML than ours take `off` for false."""
        return "off" if value is False else value

    @model_validator(mode="after")
    def _batch_fits(self) -> Self:
        if (steps := self.batch_size * self.batch_length) > LARGEST_BATCH:
            raise ValueError(f"`batch_size` x `batch_length` is a batch of {steps} steps; make it at most {LARGEST_BATCH}")
        return self

    @model_validator(mode="after")
    def _trackers_are_distinct(self) -> Self:
        distinct("trackers", self.trackers)
        return self
