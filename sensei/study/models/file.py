"""A study as people write it."""

from typing import Any

from pydantic import Field

from sensei.study.models.bounds import Generations, Pairs, Seed, Steps
from sensei.study.models.names import Name, Plugin, Text
from sensei.study.models.section import MOST, Section
from sensei.study.models.study import ErrorBars, Settings, Study, StudyName

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

    seeds: list[Seed] | None = Field(
        None, min_length=1, max_length=MOST, description="seeds of the runs in this environment; null: the study's"
    )
    annotators: list[Name] | None = Field(
        None, min_length=1, max_length=MOST, description="annotators of this environment; null: the study's"
    )
    environment: dict[str, Any] = Field({}, description="changes to EnvironmentConfig, e.g. fewer tasks or the quality of its pictures")


class StudyFile(Changes):
    """A study as people write it; `config/schema.json` is generated from this model."""

    study: StudyName = Field(description=Study.model_fields["study"].description)
    seeds: list[Seed] = Field(min_length=1, max_length=MOST, description="one run per seed, method and environment")
    environments: list[Name] = Field(min_length=1, max_length=MOST, description="files of config/envs")
    explore: list[Name] = Field(min_length=1, max_length=MOST, description=Study.model_fields["explore"].description)
    learn: list[Name] = Field(max_length=MOST, description=Study.model_fields["learn"].description)
    annotators: list[Name] = Field([], max_length=MOST, description=Study.model_fields["annotators"].description)
    collector: Name = Field("plan2explore", description=Study.model_fields["collector"].description)
    generations: Generations | None = Field(None, description=Study.model_fields["generations"].description)
    relabel_every: Steps | None = Field(None, description=Study.model_fields["relabel_every"].description)
    relabel_pairs: Pairs | None = Field(None, description=Study.model_fields["relabel_pairs"].description)
    one_generation: list[Name] = Field([], max_length=MOST, description=Study.model_fields["one_generation"].description)
    figures: list[Plugin] = Field(min_length=1, max_length=MOST, description=Study.model_fields["figures"].description)
    question: Text | None = Field(None, description=Study.model_fields["question"].description)
    error_bars: ErrorBars = Field("bootstrap", description=Study.model_fields["error_bars"].description)
    allow_partial: bool = Field(False, description=Study.model_fields["allow_partial"].description)
    stages: list[Plugin] = Field([], max_length=MOST, description=Study.model_fields["stages"].description)
    per_environment: dict[Name, EnvironmentChanges] = Field({}, description="environment -> changes to it alone, laid over those to all")
