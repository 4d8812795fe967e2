"""From a configuration to an environment."""

from sensei.core.errors import MachineError
from sensei.core.messages import validate
from sensei.core.plugins import find
from sensei.envs.contract import Environment
from sensei.study.models.environment import ENVIRONMENTS, EnvironmentConfig


def family(config: EnvironmentConfig) -> type[Environment]:
    """The class that `config.family` names, without importing its simulator.

    Raises:
        SenseiError: there is none; the message names those there are.
    """
    return find(config.family, *ENVIRONMENTS)


def checked(config: EnvironmentConfig, source: str) -> EnvironmentConfig:
    """`config` with every option of its family, those it does not name with their defaults.

    Args:
        source: what messages call the file.

    Raises:
        SenseiError: an option that the family does not have, or a wrong value; one line that names file, key and remedy.
    """
    options = validate(family(config).Options, config.options, source, under=("environment", "options"))
    return config.model_copy(update={"options": options.model_dump(mode="json")})


def make(config: EnvironmentConfig, image_size: int, task: str | None = None, evaluation: bool = False) -> Environment:
    """Make the environment that `config` describes; the agent sees `image_size` x `image_size` pixels.

    Args:
        task: whose reward is paid; by default the first of the configuration.
        evaluation: whether its episodes are evaluations.

    Raises:
        SenseiError: for an unknown family, level, event or task; MachineError for a missing package.
    """
    try:
        env = family(config)(config, image_size)
    except ModuleNotFoundError as error:
        hint = 'pip install "setuptools<82"' if error.name == "pkg_resources" else "pip install -r requirements.lock"
        raise MachineError(f"environments of family {config.family} need the Python module {error.name}", hint=hint) from error
    env.pursue(task, evaluation)
    return env
