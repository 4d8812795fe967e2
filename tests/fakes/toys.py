"""Small studies of the toy grids, and what their runs leave behind."""

import json
from pathlib import Path
from typing import Any

import torch

from sensei.study.load import load_study
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.study import Study

SMALL = {
    "world_model": {"size": "XS", "image_size": 16},
    "ensemble": {"members": 3},
    "behaviour": {"horizon": 5},
    "training": {
        "explore_steps": 240,
        "learn_steps": 240,
        "workers": 2,
        "batch_size": 4,
        "batch_length": 8,
        "train_ratio": 8,
        "prefill": 40,
        "evaluate_every": 100,
        "evaluate_episodes": 2,
        "log_every": 50,
        "checkpoint_every": 60,
        "device": "cpu",
    },
    "pairs": {"number": 10},
}
AXES = {
    "study": "toys",
    "seeds": [0, 1],
    "explore": ["plan2explore", "sensei", "random"],
    "learn": ["plan2explore", "dreamerv3", "ppo"],
    "annotators": ["oracle"],
    "figures": ["interactions"],
}


def toy_study(environment: str = "toy_counting", episode_steps: int | None = None, **changes: dict[str, Any]) -> Study:
    """A study of one toy: `SMALL` with changes laid over it, section by section."""
    sections = {name: {**SMALL.get(name, {}), **changes.get(name, {})} for name in {*SMALL, *changes}}
    study = load_study({**AXES, "environments": [environment], **sections}, source="the toy study")
    if episode_steps is None:
        return study
    settings = study.settings[environment]
    shorter = settings.environment.model_copy(update={"episode_steps": episode_steps})
    return study.model_copy(update={"settings": {environment: settings.model_copy(update={"environment": shorter})}})


def dial_study(**changes: dict[str, Any]) -> Study:
    """A study of fakes/dial.py: continuous actions, no flags."""
    about = {
        "family": "pixels",
        "level": "fakes.dial:Dial-v0",
        "tasks": ["dial"],
        "title": "Dial",
        "episode_steps": 12,
        "events": ["environment_reward"],
    }
    study = toy_study(**{**changes, "world_model": {"image_size": 40, **changes.get("world_model", {})}})
    settings = study.settings["toy_counting"].model_copy(update={"environment": EnvironmentConfig(**about)})
    return study.model_copy(update={"settings": {"dial": settings}})


def lines(folder: Path) -> list[dict[str, float]]:
    """The lines of a run's metrics.jsonl."""
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def scores(folder: Path) -> list[float]:
    """The evaluations of a run, in order."""
    return [line["evaluation/score"] for line in lines(folder) if "evaluation/score" in line]


def tensors(value: Any, name: str = "") -> dict[str, torch.Tensor]:
    """Every tensor of a nested checkpoint by its path."""
    if isinstance(value, torch.Tensor):
        return {name: value}
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list | tuple) else ()
    return {path: tensor for key, part in items for path, tensor in tensors(part, f"{name}/{key}").items()}


def agent_tensors(folder: Path) -> dict[str, torch.Tensor]:
    """Every tensor in a run's agent.pt by its path."""
    return tensors(torch.load(folder / "agent.pt", weights_only=True)["agent"])
