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
    axes |= {"figures": ["reward_model"], "one_generation": []}  # which may not name what is left out; that figure suits every study
    given = {name: {key: value for key, value in section.items() if value is not None} for name, section in changes.items()}
    return load_study(merge({**_without("own_steps", content), **axes}, given), source=f"{name} as changed by the options")


def _without(name: str, content: Any) -> Any:
    """Content of a file without a key, wherever that stands."""
    return {key: _without(name, value) for key, value in content.items() if key != name} if isinstance(content, dict) else content
