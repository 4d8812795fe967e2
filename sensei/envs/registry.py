"""From a configuration to an environment."""

import importlib

from sensei.config import EnvironmentConfig
from sensei.envs.contract import Environment
from sensei.errors import SenseiError

FAMILIES = {
    "minihack": "sensei.envs.minihack:MiniHackEnvironment",
    "pixels": "sensei.envs.pixels:PixelEnvironment",
    "robodesk": "sensei.envs.robodesk:RobodeskEnvironment",
    "toy": "sensei.envs.toy:make_toy",
}


def make(config: EnvironmentConfig, image_size: int, task: str | None = None, evaluation: bool = False) -> Environment:
    """Make the environment that `config` describes; the agent sees `image_size` x `image_size` pixels.

    Args:
        task: whose reward is paid; by default the first of the configuration.
        evaluation: whether its episodes are evaluations.

    Raises:
        SenseiError: for an unknown level, event or task, or a missing package.
    """
    module, name = FAMILIES[config.family].split(":")
    try:
        maker = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        hint = 'pip install "setuptools<82"' if error.name == "pkg_resources" else "pip install -r requirements.lock"
        raise SenseiError(f"environments of family {config.family} need the Python module {error.name}", hint=hint) from error
    env = maker(config, image_size)
    env.pursue(task, evaluation)
    return env
