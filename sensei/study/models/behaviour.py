"""Actor and critics."""

from pydantic import Field

from sensei.study.models.bounds import Count, Epsilon, Limit, Rate, Share, Weight
from sensei.study.models.section import Section


class BehaviourConfig(Section):
    """Actor-critic in imagination (DreamerV3, January 2023)."""

    horizon: Count = Field(15, description="imagined steps")
    starts: Count | None = Field(None, description="states of a batch that are imagined from, drawn at random; null: all (paper)")
    discount: float = Field(1 - 1 / 333, gt=0, lt=1)
    lambda_: Share = Field(0.95, description="lambda of the lambda-return")
    entropy: Weight = Field(3e-4, description="entropy bonus")
    learning_rate: Rate = Field(3e-5)
    epsilon: Epsilon = Field(1e-5)
    clip: Limit = Field(100.0)
    slow_rate: Rate = Field(0.02, description="fraction of the critic that moves into the slow critic at each update")
    slow_weight: Weight = Field(1.0, description="weight of the slow critic's value in the critic loss")
    normaliser_decay: float = Field(0.99, ge=0, lt=1, description="decay of every running percentile")
