"""One self-contained page with every figure, table, video and card of a study, and what made each of them.

A folder of its own, so that the template is part of the code fingerprint of the report.
"""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pandas as pd

from sensei.analysis import claims, style
from sensei.analysis.cards import read_label_card, read_reward_card
from sensei.analysis.figures import captions
from sensei.analysis.figures.contract import Figure
from sensei.analysis.figures.registry import figures_of
from sensei.analysis.inputs import Inputs
from sensei.analysis.report import words
from sensei.analysis.scores import explored_run, missing_runs, present, read_scores
from sensei.analysis.tables import TABLES, Table, cell
from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.study.layout import Layout, manifest_of
from sensei.study.models.study import Settings, Study

TEMPLATES = Path(__file__).parent


def inputs(study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
    """What the page shows: figures, tables, cards, scores and the first seed's videos; and, for their manifests alone, metrics of runs.

    Of each of these files the manifest beside it is read too, and no other file.
    """
    labels = [layout.labels(*names) for names in study.label_sets()]
    rewards = [layout.reward(*names) for names in study.label_sets()]
    explored, learned = present(study, layout)
    runs = [*(explored_run(study, layout, *run) for run in explored), *(layout.learn(*run) for run in learned)]
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
    files = Inputs(inputs(study, layout))
    if missing := [os.path.relpath(path, layout.root) for path in files.paths() if not path.exists()]:
        what = f"the report of study {study.study} lacks {len(missing)} file(s) of {layout.root}: {', '.join(missing)}"
        raise SenseiError(what, hint="`snakemake` makes them")
    figures, scores = figures_of(study).values(), read_scores(files["scores"])
    others = [*files["tables"], *files["label_cards"], *files["reward_cards"], files["scores"], *files["metrics"]]
    return rendered(
        "template.html",
        study=study,
        colour=style.colour,
        gates=captions.GATES,
        smoke=claims.SMOKE_UPDATES if claims.is_smoke(study) else None,
        missing=[str(run) for run in missing_runs(study, scores)],
        claims=[_claim(one) for one in claims.judged(study, scores)],
        environments=[_environment(study, study.settings[name]) for name in study.environments],
        methods=[_method(study, name) for name in study.methods],
        times=_times([*others, *files["figures"]]),
        figures=[_figure(figure, png, layout) for figure, png in zip(figures, files["figures"], strict=True)],
        tables=[_table(table, csv, study) for table, csv in zip(TABLES.values(), files["tables"], strict=True)],
        cards=_cards(study, files, layout),
        videos=[_video(study, *film, layout) for film in _filmed(study, layout)],
        manifests=[entry for path in others for entry in _manifests(path, layout)],
    )


def rendered(template: str, **values: Any) -> str:
    """A template of this folder with `values` filled in."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.get_template(template).render(**values)


def text_cell(text: object, number: bool = False, colour: str = "") -> dict[str, Any]:
    """A cell of a table: its text, whether it is a number, and the colour of a sign before it."""
    return {"text": str(text), "number": number, "colour": colour}


def _claim(one: claims.Verdict) -> list[dict[str, Any]]:
    texts = one.environment, one.statement, one.figure, one.published, one.ours, one.verdict, one.why
    return [text_cell(text) for text in texts]


def _environment(study: Study, settings: Settings) -> list[dict[str, Any]]:
    training, model = settings.training, settings.world_model
    own = ", ".join(f"{study.methods[name].title} {steps:,}" for name, steps in training.own_steps.items())
    task_steps = f"{training.learn_steps:,}" + (f" ({own})" if own else "")
    numbers = f"{settings.environment.episode_steps:,}", f"{training.explore_steps:,}", f"{claims.updates(settings):,}", task_steps
    return [
        text_cell(settings.environment.title),
        *(text_cell(number, True) for number in numbers),
        text_cell(training.evaluate_episodes, True),
        text_cell(f"{model.size}, {model.image_size} px"),
        text_cell(f"{training.train_ratio:g}", True),
        text_cell(f"{settings.pairs.number:,}", True),
    ]


def _method(study: Study, name: str) -> list[dict[str, Any]]:
    method = study.methods[name]
    labels = dict.fromkeys(study.annotator_of(name, environment) for environment in study.environments) if method.needs_reward_model else ()
    return [
        text_cell(method.title, colour=style.colour(name)),
        text_cell("yes" if name in study.explore else ""),
        text_cell("yes" if name in study.learn else ""),
        text_cell(", ".join(method.sources)),
        text_cell(", ".join(labels)),
        text_cell(captions.GATES.get(method.gate, "")),
    ]


def _times(paths: list[Path]) -> list[list[dict[str, Any]]]:
    """Stage, jobs, and their wall time, from the manifests beside `paths`; each job once."""
    seconds: dict[str, dict[str, float]] = {}
    for path in paths:
        if manifest_of(path).exists():
            manifest = read_json(manifest_of(path))
            job = str(path.parent if path.name in ("metrics.jsonl", "card.json") else path)
            seconds.setdefault(manifest.get("stage", ""), {})[job] = manifest.get("wall_seconds", 0)
    return [
        [
            text_cell(stage),
            text_cell(f"{len(jobs):,}", True),
            *(text_cell(_duration(part), True) for part in (sum(jobs.values()), max(jobs.values()))),
        ]
        for stage, jobs in seconds.items()
    ]


def _duration(seconds: float) -> str:
    minutes, hours = seconds / 60, seconds / 3600
    return f"{seconds:.0f} s" if minutes < 2 else f"{minutes:.0f} min" if hours < 2 else f"{hours:.1f} h"


def _filmed(study: Study, layout: Layout) -> list[tuple[str, str, Path]]:
    """(method, caption, video) of the first seed's run of every environment, phase and method."""
    films = []
    explored, learned = present(study, layout)
    for environment, method, seed in explored:
        settings = study.settings[environment]
        if seed == study.seeds_of(environment)[0]:
            caption = f"{settings.environment.title}: exploration policy after {settings.training.explore_steps:,} steps, seed {seed}"
            films.append((method, caption, explored_run(study, layout, environment, method, seed).video))
    for environment, task, method, seed in learned:
        settings = study.settings[environment]
        if seed == study.seeds_of(environment)[0]:
            steps = settings.training.task_steps(method)
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
    titles = {name: settings.environment.title for name, settings in study.settings.items()}
    titles |= {name: method.title for name, method in study.methods.items()}
    return {"title": table.title, "note": table.note, **of_frame(pd.read_csv(csv), titles)}


def of_frame(numbers: pd.DataFrame, titles: dict[str, str]) -> dict[str, Any]:
    """Columns and rows of a table as the page shows them: names by their titles, numbers short."""
    rows = [
        [text_cell(titles.get(value, value.replace("_", " "))) if isinstance(value, str) else text_cell(cell(value), True) for value in row]
        for row in numbers.itertuples(index=False)
    ]
    return {"columns": [column.replace("_", " ") for column in numbers.columns], "rows": rows}


def _cards(study: Study, files: Inputs, layout: Layout) -> list[dict[str, Any]]:
    """The label card and the reward card of every environment and annotator, in words, and whole."""
    cards = []
    for (environment, *named), labels, reward in zip(study.label_sets(), files["label_cards"], files["reward_cards"], strict=True):
        title = f"{study.settings[environment].environment.title}, {study.named(*named).replace('_', ' ')}"
        for path, what, card, told in (
            (labels, "labels", read_label_card(labels), words.of_labels),
            (reward, "reward model", read_reward_card(reward), words.of_reward_model),
        ):
            text, name = json.dumps(card, indent=1, sort_keys=True), path.relative_to(layout.root).as_posix()
            cards.append({"title": f"{title}: {what}", "sentences": told(card), "name": name, "text": text})
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


def data_url(path: Path, kind: str) -> str:
    """The content of a file as a `data:` URL of media type `kind`."""
    return f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
