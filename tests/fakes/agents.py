"""A small agent on a batch of noise."""

from sensei.agents.dreamer import DreamerAgent
from sensei.replay.step import Spaces
from sensei.study.models.behaviour import BehaviourConfig
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.exploration import ExplorationConfig, Method
from sensei.study.models.study import Settings
from sensei.study.models.training import TrainingConfig
from sensei.study.models.world_model import WorldModelConfig

ACTIONS, HORIZON, ROWS = 3, 4, 5
WEIGHTS = ExplorationConfig(percentile=60, go={"semantic": 1.0, "disagreement": 0.1}, explore={"semantic": 0.3, "disagreement": 1.0})


def dreamer(discrete: bool, phase: str = "explore", compile: str = "auto") -> DreamerAgent:
    environment = EnvironmentConfig(
        family="sensei.envs.toy:Counting", level="-", tasks=["none"], title="-", episode_steps=5, events=["environment_reward"]
    )
    small = WorldModelConfig(size="XS", image_size=16)
    settings = Settings(
        environment=environment, world_model=small, behaviour=BehaviourConfig(horizon=HORIZON), training=TrainingConfig(compile=compile)
    )
    method = Method(title="-", sources=["disagreement", "semantic", "extrinsic"], gate="reward_quantile")
    return DreamerAgent(Spaces(1, ACTIONS, discrete), settings, method, WEIGHTS, phase, 0)
