"""What of a run is given away: the agent as small as playing allows, and a card that says where it is from."""

import io
import json
from pathlib import Path

import numpy as np
import torch
import yaml

from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.core.plugins import find
from sensei.study.layout import RunFiles, manifest_of
from sensei.study.models.exploration import AGENTS
from sensei.training import checkpoint

LAST = 3  # evaluations that a card's score is the mean of


def released(run: RunFiles) -> dict[str, bytes]:
    """The files of a finished run that are given away, by name: `agent.pt` without what only learning needs, and README.md.

    Raises:
        SenseiError: the run is not finished, or its agent damaged.
    """
    if not run.agent.exists():
        raise SenseiError(
            f"there is no {run.agent}", hint="name a finished run: ENVIRONMENT/explore/METHOD/SEED, or .../learn/TASK/METHOD/SEED"
        )
    content = checkpoint.load(run.agent)
    algorithm = find(content["run"]["method"]["algorithm"], *AGENTS)
    acting = content | {"agent": algorithm.to_act(content["agent"])}
    file = io.BytesIO()
    torch.save(checkpoint.plain(acting), file)
    return {run.agent.name: file.getvalue(), "README.md": card(run, content).encode()}


def card(run: RunFiles, content: dict) -> str:
    """The model card of an agent, as hubs read them: YAML, then words."""
    made, about = read_json(manifest_of(run.agent)), content["run"]
    settings, method = about["settings"], about["method"]
    environment = settings["environment"]
    explores = about["phase"] == "explore"
    head = {
        "license": "mit",
        "library_name": "sensei",
        "pipeline_tag": "reinforcement-learning",
        "tags": ["dreamer", "exploration", environment["level"]],
    }
    does = "has explored, without its reward," if explores else f"has learned the task {about['task']} in"
    title = f"{method['title']} {'explorer' if explores else 'on ' + about['task']}, {environment['title']}"
    lines = [
        f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
        f"# {title}\n",
        f"An agent that {does} {environment['level']} for {content['step']:,} agent steps (seed {about['seed']}). "
        f"Pictures of {settings['world_model']['image_size']} x {settings['world_model']['image_size']} pixels, world model of size "
        f"{settings['world_model']['size']}.\n",
        f"- Made by stage `{made['stage']}` at commit {made['commit']}, Python {made['python']}, torch {made['packages']['torch']}.",
        f"- {_measured(run)}",
        "- Without its optimisers: it plays and dreams, and cannot go on learning.",
        "- It knows this environment with these pictures and nothing else; one seed of a small study says nothing of a method.\n",
        f'Load it with `sensei.load_agent("{run.folder.name}")`: tensors and plain values, nothing in the file is carried out. '
        "Everything it was trained with is in it: `agent.settings`.\n",
    ]
    return "\n".join(lines)


def _measured(run: RunFiles) -> str:
    """What the run's last lines say of it."""
    lines = [json.loads(line) for line in Path(run.metrics).read_text(encoding="utf-8").splitlines()]
    scores = [line["evaluation/score"] for line in lines if "evaluation/score" in line][-LAST:]
    if scores:
        return f"Score, mean of the last {len(scores)} evaluations: {np.mean(scores):.2f}."
    counts = {name.removeprefix("events/"): value for line in lines for name, value in line.items() if name.startswith("events/")}
    return f"While it explored: {', '.join(f'{name} {value:g}' for name, value in counts.items())}."
