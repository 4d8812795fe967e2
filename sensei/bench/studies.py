"""Study files from which benchmarks take their settings."""

from pathlib import Path
from typing import Any

from sensei.core.yaml import read_yaml
from sensei.study.load import load_study, merge
from sensei.study.models.study import Study


def resolve(source: Path | dict[str, Any], environment: str, method: str, changes: dict[str, dict[str, Any]]) -> Study:
    """The study in a file, or its content, reduced to one environment and one exploring method; changes that are None change nothing."""
    content, name = (source, source["study"]) if isinstance(source, dict) else (read_yaml(source), source)
    axes = {"environments": [environment], "explore": [method], "learn": ["dreamerv3"], "collector": "random", "pairs": {"number": 1}}
    own = {key: _without_own_steps(settings) for key, settings in content.get("per_environment", {}).items()}
    reduced = {**_without_own_steps(content), "per_environment": own, **axes, "figures": ["reward_model"], "one_generation": []}
    given = {name: {key: value for key, value in section.items() if value is not None} for name, section in changes.items()}
    return load_study(merge(reduced, given), source=f"{name} as changed by the options")


def _without_own_steps(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings that say nothing of methods, which may be left out."""
    return settings | {"training": {key: value for key, value in settings.get("training", {}).items() if key != "own_steps"}}
