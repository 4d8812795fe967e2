"""From a configuration to an environment."""

import importlib

from sensei.config import EnvironmentConfig
from sensei.envs.contract import Environment
from sensei.errors import SenseiError

FAMILIES = {
    "minihack": "sensei.envs.minihack:MiniHackEnvironment",
    "pixels": "sensei.envs.pixels:PixelEnvironment",
    "toy": "sensei.envs.toy:make_toy",
}


def make(config: EnvironmentConfig, image_size: int) -> Environment:
    """Make the environment that `config` describes; the agent sees `image_size` x `image_size` pixels.

    Raises:
        SenseiError: for an unknown level or event, or a missing package.
    """
    module, name = FAMILIES[config.family].split(":")
    try:
        maker = getattr(importlib.import_module(module), name)
    except ModuleNotFoundError as error:
        hint = 'pip install "setuptools<82"' if error.name == "pkg_resources" else "pip install -r requirements.lock"
        raise SenseiError(f"environments of family {config.family} need the Python module {error.name}", hint=hint) from error
    return maker(config, image_size)
