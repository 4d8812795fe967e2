"""What the environment is."""

from typing import Any, Self

from pydantic import Field, model_validator

from sensei.study.models.bounds import EpisodeSteps
from sensei.study.models.names import Name, Plugin, Text
from sensei.study.models.section import MOST, Section, distinct

ENVIRONMENTS = "sensei.envs", "Environment", "environment family"


class EnvironmentConfig(Section):
    """What the environment is; everything here but the options is a fact of the benchmark, not a choice of the study."""

    family: Plugin = Field(description="module below sensei/envs, e.g. minihack, or package.module:Class")
    level: Text = Field(description="name inside the family, e.g. KeyRoom-S15; for `pixels` a Gymnasium id")
    tasks: list[Name] = Field(
        min_length=1,
        max_length=MOST,
        description="tasks that are learned after exploration, as named in paths and figures; exploration pays the first one's reward",
    )
    title: Text = Field(description="name in figures")
    episode_steps: EpisodeSteps = Field(description="agent steps until the episode is truncated")
    events: list[Name] = Field(min_length=1, max_length=MOST, description="events counted at each step, in the order of the figures")
    options: dict[str, Any] = Field({}, description="what the family lets a study choose: `Options` of its class")

    @model_validator(mode="after")
    def _names_are_distinct(self) -> Self:
        distinct("tasks", self.tasks)
        distinct("events", self.events)
        return self
