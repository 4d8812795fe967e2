"""One self-contained page with every figure, table, video and card of a study, and what made each of them.

A folder of its own, so that the template is part of the code fingerprint of the report.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd

from sensei.analysis import style
from sensei.analysis.cards import read_label_card, read_reward_card
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.registry import figures_of
from sensei.analysis.inputs import Inputs
from sensei.analysis.tables import TABLES, Table, cell
from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.study.layout import Layout, manifest_of
from sensei.study.models.study import Study


def inputs(study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
    """What the page shows: figures, tables, cards and the first seed's videos; and, for their manifests alone, scores and metrics of runs.

    Of each of these files the manifest beside it is read too, and no other file.
    """
    labels = [layout.labels(*names) for names in study.labelled()]
    rewards = [layout.reward(*names) for names in study.labelled()]
    runs = [*(layout.explore(*run) for run in study.exploration_runs()), *(layout.learn(*run) for run in study.task_runs())]
    return {
        "figures": [png for _, png, _ in map(layout.figure, figures_of(study))],
        "tables": [csv for csv, _ in map(layout.table, TABLES)],
        "label_cards": [files.card for files in labels],
        "reward_cards": [files.card for files in rewards],
        "videos": [video for _, _, video in _filmed(study, layout)],
        "scores": layout.scores,
        "metrics": [run.metrics for run in runs],
    }


def build(study: Study, layout: Layout) -> str:
    """The HTML of the page; needs no network and no other file.

    Raises:
        SenseiError: files are missing; one message names all of them. Or one is damaged.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    files = Inputs(inputs(study, layout))
    if missing := [str(path) for path in files.paths() if not path.exists()]:
        raise SenseiError(
            f"the report of study {study.study} lacks {len(missing)} file(s): {', '.join(missing)}", hint="`snakemake` makes them"
        )
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("template.html")
    figures = figures_of(study).values()
    others = [*files["tables"], *files["label_cards"], *files["reward_cards"], files["scores"], *files["metrics"]]
    return template.render(
        study=study,
        colour=style.colour,
        gates=captions.GATES,
        figures=[_figure(figure, png, layout) for figure, png in zip(figures, files["figures"], strict=True)],
        tables=[_table(table, csv, study) for table, csv in zip(TABLES.values(), files["tables"], strict=True)],
        cards=_cards(study, files),
        videos=[_video(study, *film, layout) for film in _filmed(study, layout)],
        manifests=[entry for path in others for entry in _manifests(path, layout)],
    )


def _filmed(study: Study, layout: Layout) -> list[tuple[str, str, Path]]:
    """(method, caption, video) of the first seed's run of every environment, phase and method."""
    films = []
    for environment, method, seed in study.exploration_runs():
        settings = study.settings[environment]
        if seed == study.seeds_of(environment)[0]:
            caption = f"{settings.environment.title}: exploration policy after {settings.training.explore_steps:,} steps, seed {seed}"
            films.append((method, caption, layout.explore(environment, method, seed).video))
    for environment, task, method, seed in study.task_runs():
        settings = study.settings[environment]
        if seed == study.seeds_of(environment)[0]:
            steps = study.methods[method].learn_steps(settings.training)
            caption = f"{settings.environment.title}: policy of task {task} after {steps:,} task steps, seed {seed}"
            films.append((method, caption, layout.learn(environment, task, method, seed).video))
    return films


def _figure(figure: Figure, png: Path, layout: Layout) -> dict[str, Any]:
    return {
        "name": figure.name,
        "title": figure.title,
        "caption": style.read_caption(png),
        "source": data_url(png, "image/png"),
        "manifests": _manifests(png, layout),
    }


def _table(table: Table, csv: Path, study: Study) -> dict[str, Any]:
    numbers = pd.read_csv(csv)
    titles = {name: settings.environment.title for name, settings in study.settings.items()}
    titles |= {name: method.title for name, method in study.methods.items()}
    rows = [
        [(titles.get(value, value.replace("_", " ")), False) if isinstance(value, str) else (cell(value), True) for value in row]
        for row in numbers.itertuples(index=False)
    ]
    columns = [column.replace("_", " ") for column in numbers.columns]
    return {"title": table.title, "note": table.note, "columns": columns, "rows": rows}


def _cards(study: Study, files: Inputs) -> list[dict[str, Any]]:
    """The label card and the reward card of every environment and annotator."""
    cards = []
    for (environment, annotator), labels, reward in zip(study.labelled(), files["label_cards"], files["reward_cards"], strict=True):
        title = f"{study.settings[environment].environment.title}, {annotator}"
        cards.append({"title": f"{title}: labels", "rows": flatten(read_label_card(labels))})
        cards.append({"title": f"{title}: reward model", "rows": flatten(read_reward_card(reward))})
    return cards


def _video(study: Study, method: str, caption: str, path: Path, layout: Layout) -> dict[str, Any]:
    return {
        "method": method,
        "title": study.methods[method].title,
        "caption": caption,
        "source": data_url(path, "video/mp4"),
        "manifests": _manifests(path, layout),
    }


def _manifests(path: Path, layout: Layout) -> list[dict[str, str]]:
    """The manifest beside a file, if there is one."""
    manifest = manifest_of(path)
    if not manifest.exists():
        return []
    return [{"name": path.relative_to(layout.root).as_posix(), "text": json.dumps(read_json(manifest), indent=1, sort_keys=True)}]


def flatten(value: object, prefix: str = "") -> list[tuple[str, str]]:
    """Nested mappings as (dotted key, text) rows; numbers with four significant digits."""
    if isinstance(value, dict):
        return [row for key, part in value.items() for row in flatten(part, f"{prefix}{key}.")]
    if isinstance(value, float):
        text = f"{value:.4g}"
    elif isinstance(value, list):
        text = ", ".join(str(part) for part in value)
    else:
        text = "" if value is None else str(value)
    return [(prefix.removesuffix(".").replace("_", " "), text)]


def data_url(path: Path, kind: str) -> str:
    """The content of a file as a `data:` URL of media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
