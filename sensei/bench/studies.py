"""Study files from which benchmarks take their settings."""

from pathlib import Path
from typing import Any

from sensei.core.yaml import read_yaml
from sensei.study.load import load_study, merge
from sensei.study.models.study import Study


def resolve(source: Path, environment: str, method: str, changes: dict[str, dict[str, Any]]) -> Study:
    """The study in `source` reduced to one environment and one exploring method; changes that are None change nothing."""
    axes = {"environments": [environment], "explore": [method], "learn": ["dreamerv3"], "collector": "random", "pairs": {"number": 1}}
    given = {name: {key: value for key, value in section.items() if value is not None} for name, section in changes.items()}
    return load_study(merge({**read_yaml(source), **axes}, given), source=f"{source} as changed by the options")
