"""What an environment gives a study."""

from pathlib import Path
from typing import Annotated

import typer

from sensei.study.layout import CONFIG_FOLDER


def add_to(app: typer.Typer) -> None:
    """`check-env`."""
    app.command(name="check-env")(check_env)


def check_env(
    environment: Annotated[
        str, typer.Argument(help="a file of config/envs or its name, a Gymnasium id (also module:Id-v0), or module:Class of a file here")
    ],
    image_size: Annotated[int, typer.Option(min=8, help="side of the agent's picture")] = 64,
) -> None:
    """Play an environment and say what it gives a study, and what each thing that it lacks costs; exit code 2 if it cannot be used."""
    from sensei.core.messages import validate
    from sensei.core.yaml import read_yaml
    from sensei.envs.registry import checked
    from sensei.envs.survey import described, survey
    from sensei.study.models.environment import EnvironmentConfig

    file = Path(environment) if environment.endswith(".yaml") else CONFIG_FOLDER / "envs" / f"{environment}.yaml"
    if file.exists() or environment.endswith(".yaml"):
        content = read_yaml(file).get("environment")
        config = checked(validate(EnvironmentConfig, content, str(file)), str(file))
    else:
        config = described(environment)
    print(f"{environment}, family {config.family}")
    for what, found, cost in survey(config, image_size):
        print(f"{'costs' if cost else 'ok':6}{what:10}{found}{f' -> {cost}' if cost else ''}", flush=True)
