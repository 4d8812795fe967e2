"""Actor and critics."""

from pydantic import Field

from sensei.study.models.bounds import Count, Epsilon, Limit, Mix, Rate, Share, Updates, Weight
from sensei.study.models.exploration import Source
from sensei.study.models.section import Section


class BehaviourConfig(Section):
    """Actor-critic in imagination (DreamerV3, January 2023)."""

    horizon: Count = Field(15, description="imagined steps")
    starts: Count | None = Field(None, description="states of a batch that are imagined from, drawn at random; null: all (paper)")
    task_every: Count = Field(1, description="while exploring, the task behaviour learns in one of so many updates; 1: in each (paper)")
    discount: float = Field(1 - 1 / 333, gt=0, lt=1)
    lambda_: Share = Field(0.95, description="lambda of the lambda-return")
    entropy: Weight = Field(3e-4, description="entropy bonus")
    learning_rate: Rate = Field(3e-5)
    actor_learning_rate: Rate | None = Field(
        None, description="null: learning_rate (paper). Below it the critics stay ahead of the policy that they judge"
    )
    actor_delay: Updates = Field(
        0,
        description="updates of a run before its actors move; the critics learn from the first on (paper: 0). Values begin at 0, so the "
        "first hundreds of advantages are one large constant, in which a fast actor collapses. One that an exploration hands over does "
        "not wait",
    )
    actor_uniform_mix: Mix | None = Field(
        None,
        description="share of the uniform distribution in a discrete policy; null: world_model.uniform_mix (paper). A larger one goes on "
        "trying what a small entropy bonus would give up",
    )
    epsilon: Epsilon = Field(1e-5)
    clip: Limit = Field(100.0)
    slow_rate: Rate = Field(0.02, description="fraction of the critic that moves into the slow critic at each update")
    slow_weight: Weight = Field(1.0, description="weight of the slow critic's value in the critic loss")
    normaliser_decay: float = Field(0.99, ge=0, lt=1, description="decay of every running percentile")
    corrected_scales: bool = Field(
        False,
        description="divide the running percentiles of the returns by 1 - decay^n, n updates after they began at 0 (paper: not): without "
        "it the first hundred advantages are too large",
    )
    scale_floors: dict[Source, Limit] = Field(
        {},
        description="smallest scale of the returns of a reward source; 1 for those left out (paper). Returns of disagreement that stay "
        "below 1 otherwise count for less than the semantic ones and than the entropy bonus",
    )
