"""A study as people write it."""

from typing import Any

from pydantic import Field

from sensei.study.models.section import Section
from sensei.study.models.study import Settings, Study

SETTINGS_KEYS = tuple(key for key in Settings.model_fields if key != "environment")


class Changes(Section):
    """Changes to the sections of `Settings`."""

    world_model: dict[str, Any] = Field({}, description="changes to WorldModelConfig")
    ensemble: dict[str, Any] = Field({}, description="changes to EnsembleConfig")
    behaviour: dict[str, Any] = Field({}, description="changes to BehaviourConfig")
    exploration: dict[str, Any] = Field({}, description="changes to ExplorationConfig")
    training: dict[str, Any] = Field({}, description="changes to TrainingConfig")
    pairs: dict[str, Any] = Field({}, description="changes to PairsConfig")
    labels: dict[str, Any] = Field({}, description="changes to LabelsConfig")
    reward: dict[str, Any] = Field({}, description="changes to RewardModelConfig")


class EnvironmentChanges(Changes):
    """What a study changes in one of its environments alone."""

    seeds: list[int] | None = Field(None, min_length=1, description="seeds of the runs in this environment; null: the study's")
    annotators: list[str] | None = Field(None, min_length=1, description="annotators of this environment; null: the study's")
    environment: dict[str, Any] = Field({}, description="changes to EnvironmentConfig, e.g. fewer tasks or the quality of its pictures")


class StudyFile(Changes):
    """A study as people write it; `config/schema.json` is generated from this model."""

    study: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description=Study.model_fields["study"].description)
    seeds: list[int] = Field(min_length=1, description="one run per seed, method and environment")
    environments: list[str] = Field(min_length=1, description="files of config/envs")
    explore: list[str] = Field(min_length=1, description=Study.model_fields["explore"].description)
    learn: list[str] = Field(min_length=1, description=Study.model_fields["learn"].description)
    annotators: list[str] = Field(min_length=1, description=Study.model_fields["annotators"].description)
    collector: str = Field("plan2explore", description=Study.model_fields["collector"].description)
    figures: list[str] = Field(min_length=1, description=Study.model_fields["figures"].description)
    stages: list[str] = Field([], description=Study.model_fields["stages"].description)
    per_environment: dict[str, EnvironmentChanges] = Field({}, description="environment -> changes to it alone, laid over those to all")
