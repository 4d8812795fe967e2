"""The counting toy, with short episodes."""

from sensei.study.models.environment import EnvironmentConfig

CONFIG = EnvironmentConfig(
    family="sensei.envs.toy:Counting",
    level="Counting",
    tasks=["keydoor"],
    title="T",
    episode_steps=12,
    events=["odd_step", "environment_reward"],
)
