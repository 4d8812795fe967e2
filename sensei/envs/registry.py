"""From a configuration to an environment."""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from sensei.core.errors import SenseiError
from sensei.envs.contract import Environment
from sensei.study.models.environment import EnvironmentConfig

FAMILIES = {
    "minihack": "sensei.envs.minihack.minihack:MiniHackEnvironment",
    "pixels": "sensei.envs.pixels:PixelEnvironment",
    "robodesk": "sensei.envs.robodesk.robodesk:RobodeskEnvironment",
    "toy": "sensei.envs.toy:make_toy",
}

CAPTIONS = {"minihack": "sensei.envs.minihack.captions"}


@dataclass(frozen=True)
class Captions:
    """What an environment family says in words of its annotator's pictures.

    vocabulary: all statements there are. statements: those that hold for a picture, uint8 [h, w, 3]. caption: a sentence that says some.
    """

    vocabulary: tuple[str, ...]
    statements: Callable[[np.ndarray], frozenset[str]]
    caption: Callable[[list[str]], str]


def family(config: EnvironmentConfig) -> type[Environment]:
    """The class that `config.family` names; stands in until families are found by their place."""
    module, name = FAMILIES[config.family].split(":")
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, type) else Environment


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


def captions(config: EnvironmentConfig) -> Captions:
    """How the environment that `config` describes puts its pictures in words.

    Raises:
        SenseiError: its family does not.
    """
    if config.family not in CAPTIONS:
        raise SenseiError(
            f"environments of family {config.family} do not describe their pictures in words",
            expected=f"family {', '.join(CAPTIONS)}",
            hint="choose another annotator than one of kind captioned_clip",
        )
    module = importlib.import_module(CAPTIONS[config.family])
    return Captions(module.vocabulary(), module.statements, module.caption)
