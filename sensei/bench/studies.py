"""Study files from which benchmarks take their settings."""

from pathlib import Path
from typing import Any

from sensei.core.yaml import read_yaml
from sensei.study.load import load_study, merge
from sensei.study.models.study import Study


def resolve(source: Path | dict[str, Any], environment: str, method: str, changes: dict[str, dict[str, Any]]) -> Study:
    """The study in a file, or its content, reduced to one environment and one exploring method; changes that are None change nothing."""
    axes = {"environments": [environment], "explore": [method], "learn": ["dreamerv3"], "collector": "random", "pairs": {"number": 1}}
    given = {name: {key: value for key, value in section.items() if value is not None} for name, section in changes.items()}
    content, name = (source, source["study"]) if isinstance(source, dict) else (read_yaml(source), source)
    training = {key: value for key, value in content.get("training", {}).items() if key != "own_steps"}  # of methods that are left out
    return load_study(merge({**content, **axes, "training": training}, given), source=f"{name} as changed by the options")
