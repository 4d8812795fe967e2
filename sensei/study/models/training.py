"""The loop that acts, stores and learns."""

from typing import Any, Literal

from pydantic import Field, field_validator

from sensei.study.models.section import Section


class TrainingConfig(Section):
    """The loop that acts, stores and learns."""

    explore_steps: int = Field(500_000, ge=1, description="agent steps of an exploration run")
    learn_steps: int = Field(1_000_000, ge=1, description="agent steps of a task run")
    ppo_steps: int | None = Field(None, ge=1, description="agent steps of a PPO run; null: learn_steps")
    explored_behaviour: Literal["keep", "fresh"] = Field(
        "keep",
        description="what a task run takes over from the explored agent beside the world model. keep: the task actor and critic trained "
        "during exploration, which is for the environment's first task (they begin fresh for the others); fresh: nothing",
    )
    workers: int = Field(4, ge=1, description="environments side by side, one process each")
    batch_size: int = Field(16, ge=1)
    batch_length: int = Field(64, ge=2)
    train_ratio: float = Field(512, gt=0, description="replayed steps per agent step")
    prefill: int = Field(1024, ge=1, description="agent steps of the random policy before the first update")
    replay_capacity: int = Field(1_000_000, ge=1, description="steps kept")
    evaluate_every: int = Field(10_000, ge=1, description="agent steps between evaluations of a task run")
    evaluate_episodes: int = Field(1, ge=1, description="episodes of one evaluation (paper: 1 a seed)")
    log_every: int = Field(1_000, ge=1, description="agent steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(5_000, ge=1, description="agent steps between checkpoints")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = Field("float32", description="autocast type on CUDA; the CPU always uses float32")
    runs_per_gpu: int = Field(1, ge=1, description="runs that share one GPU at a time")
    compile: Literal["off", "auto", "full"] = Field(
        "auto", description="off: plain PyTorch; auto: what pays, a CUDA graph on a GPU and C kernels on a CPU; full: torch.compile as well"
    )
    tensorboard: bool = Field(False, description="also write TensorBoard files beside metrics.jsonl")

    @field_validator("compile", mode="before")
    @classmethod
    def off_is_a_word(cls, value: Any) -> Any:
        """Other readers of YAML than ours take `off` for false."""
        return "off" if value is False else value
