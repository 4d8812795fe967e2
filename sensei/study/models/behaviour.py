"""Actor and critics."""

from pydantic import Field

from sensei.study.models.section import Section


class BehaviourConfig(Section):
    """Actor-critic in imagination (DreamerV3, January 2023)."""

    horizon: int = Field(15, ge=1, description="imagined steps")
    starts: int | None = Field(None, ge=1, description="states of a batch that are imagined from, drawn at random; null: all (paper)")
    task_every: int = Field(
        1,
        ge=1,
        description="while exploring, the task behaviour learns in one of so many updates; 1: in each (paper)",
    )
    discount: float = Field(1 - 1 / 333, gt=0, lt=1)
    lambda_: float = Field(0.95, ge=0, le=1, description="lambda of the lambda-return")
    entropy: float = Field(3e-4, ge=0, description="entropy bonus")
    learning_rate: float = Field(3e-5, gt=0)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(100.0, gt=0)
    slow_rate: float = Field(0.02, gt=0, le=1, description="fraction of the critic that moves into the slow critic at each update")
    slow_weight: float = Field(1.0, ge=0, description="weight of the slow critic's value in the critic loss")
    normaliser_decay: float = Field(0.99, ge=0, lt=1, description="decay of every running percentile")
