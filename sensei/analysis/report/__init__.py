"""One self-contained page with every figure, table, video, card and manifest of a study.

A folder of its own, so that the template is part of the code fingerprint of the report.
"""

import base64
import json
from pathlib import Path
from typing import Any

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from sensei.analysis import style
from sensei.analysis.figures import FIGURES, SUFFIXES, captions
from sensei.analysis.scores import exploration_folder, task_folder
from sensei.analysis.tables import TABLES, cell
from sensei.core.errors import SenseiError
from sensei.core.files import read_json
from sensei.study.models.study import Study

PAGE = "report.html"
TABLE_TITLES = {
    "interactions": "Interactions during exploration",
    "downstream": "Final scores of the task",
    "reward_model": "Reward models at the chosen epoch",
}
TABLE_NOTES = {
    "interactions": "Totals over a run; low and high: 95 % bootstrap interval of the mean over seeds; standard error with divisor n. "
    "Published values are the paper's (Figs. 5, 6 and 16), at their own number of steps, never rescaled.",
    "downstream": "Mean of the last 3 evaluations of a run, then over seeds; low and high: 95 % bootstrap interval, each environment a "
    "stratum; better: chance that a run of the first method beats a run of this one, with its interval. "
    "With two or three seeds no interval can be wider than the runs themselves: read it as their spread.",
    "reward_model": "Shares of clear held-out pairs ranked as in the annotator's own labels (accuracy) and as by the oracle (oracle), "
    "with 95 % Wilson intervals.",
}


def build(study: Study, results: Path) -> str:
    """The HTML of `results/{study}/report.html`; needs no network and no other file.

    Args:
        results: the folder of the study. Reads figures/*.png, tables/*.csv, label and reward cards, one video per method and phase
            (the first seed's), and every *.manifest.json below it.

    Raises:
        SenseiError: figures, tables, cards or videos are missing; one message names all of them.
    """
    results = Path(results)
    if missing := [str(path) for path in _needed(study, results) if not path.exists()]:
        raise SenseiError(
            f"the report of study {study.study} lacks {len(missing)} file(s): {', '.join(missing)}", hint="`snakemake` makes them"
        )
    template = Environment(
        loader=FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    ).get_template("template.html")
    return template.render(
        study=study,
        colour=style.colour,
        gates=captions.GATES,
        figures=[_figure(name, results) for name in study.figures],
        tables=[_table(name, study, results) for name in TABLES],
        cards=[_card(title, path) for title, path in _cards(study, results)],
        videos=[_video(video, results) for video in _videos(study, results)],
        manifests=_manifests(results),
    )


def _needed(study: Study, results: Path) -> list[Path]:
    figures = [results / "figures" / f"{name}{suffix}" for name in study.figures for suffix in SUFFIXES]
    tables = [results / "tables" / f"{name}.csv" for name in TABLES]
    return [*figures, *tables, *(path for _, path in _cards(study, results)), *(video["path"] for video in _videos(study, results))]


def _cards(study: Study, results: Path) -> list[tuple[str, Path]]:
    """(title, path) of the label card and the reward card of every environment and annotator."""
    return [
        (f"{study.settings[environment].environment.title}, {annotator}: {title}", results / environment / folder / annotator / "card.json")
        for environment in study.environments
        for annotator in study.annotators_of(environment)
        for title, folder in (("labels", "labels"), ("reward model", "reward"))
    ]


def _videos(study: Study, results: Path) -> list[dict[str, Any]]:
    """Method, caption and path of the first seed's video of every environment, phase and method."""
    videos = []
    for environment in study.environments:
        seed = study.seeds_of(environment)[0]
        settings = study.settings[environment]
        title, training = settings.environment.title, settings.training
        for method in study.explore:
            path = results / exploration_folder(environment, method, seed) / "video.mp4"
            videos.append(
                {
                    "method": method,
                    "path": path,
                    "caption": f"{title}: exploration policy after {training.explore_steps:,} steps, seed {seed}",
                }
            )
        for method in study.learn:
            steps = training.ppo_steps or training.learn_steps if study.methods[method].algorithm == "ppo" else training.learn_steps
            for task in study.settings[environment].environment.tasks:
                path = results / task_folder(environment, task, method, seed) / "video.mp4"
                caption = f"{title}: policy of task {task} after {steps:,} task steps, seed {seed}"
                videos.append({"method": method, "path": path, "caption": caption})
    return [{**video, "title": study.methods[video["method"]].title} for video in videos]


def _figure(name: str, results: Path) -> dict[str, Any]:
    stem = results / "figures" / name
    png = stem.with_name(f"{name}.png")
    files = [path for suffix in SUFFIXES if (path := stem.with_name(f"{name}{suffix}.manifest.json")).exists()]
    return {
        "name": name,
        "title": FIGURES[name],
        "caption": style.read_caption(png),
        "source": data_url(png, "image/png"),
        "manifests": [_manifest(path, results) for path in files],
    }


def _table(name: str, study: Study, results: Path) -> dict[str, Any]:
    table = pd.read_csv(results / "tables" / f"{name}.csv")
    titles = {name: settings.environment.title for name, settings in study.settings.items()}
    titles |= {name: method.title for name, method in study.methods.items()}
    rows = [
        [(titles.get(value, value.replace("_", " ")), False) if isinstance(value, str) else (cell(value), True) for value in row]
        for row in table.itertuples(index=False)
    ]
    columns = [column.replace("_", " ") for column in table.columns]
    return {"title": TABLE_TITLES[name], "note": TABLE_NOTES[name], "columns": columns, "rows": rows}


def _card(title: str, path: Path) -> dict[str, Any]:
    return {"title": title, "rows": flatten(read_json(path))}


def _video(video: dict[str, Any], results: Path) -> dict[str, Any]:
    manifest = video["path"].with_name("video.mp4.manifest.json")
    return {
        **video,
        "source": data_url(video["path"], "video/mp4"),
        "manifests": [_manifest(manifest, results)] if manifest.exists() else [],
    }


def _manifests(results: Path) -> list[dict[str, str]]:
    """Every manifest of the study that stands nowhere else on the page; not the page's own, which is made after it."""
    shown = {results / "figures", results / PAGE}
    paths = sorted(
        path
        for path in results.rglob("*.manifest.json")
        if path.parent not in shown and not path.name.startswith((f"{PAGE}.", "video.mp4."))
    )
    return [_manifest(path, results) for path in paths]


def _manifest(path: Path, results: Path) -> dict[str, str]:
    name = path.relative_to(results).as_posix().removesuffix(".manifest.json")
    return {"name": name, "text": json.dumps(read_json(path), indent=1, sort_keys=True)}


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
