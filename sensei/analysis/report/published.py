"""One self-contained page with everything that was published, drawn from the packaged values alone."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from sensei.analysis import published, style
from sensei.analysis.claims import published_pair
from sensei.analysis.figures import registry
from sensei.analysis.report import data_url, of_frame, rendered, text_cell
from sensei.analysis.tables import markdown
from sensei.core.files import write_text
from sensei.study.layout import PUBLISHED, published_figure, published_report, published_table


@dataclass(frozen=True)
class PublishedTable:
    """A table of the paper: what it is called, in a line and in short, a note, and its values."""

    title: str
    short: str
    note: str
    values: pd.DataFrame


def tables() -> dict[str, PublishedTable]:
    """Name of its files -> table."""
    settings, parameters = published.gate_settings(), published.hyperparameters().drop(columns="name")
    settings["method"] = settings["method"].map(published.titles())
    return {
        "table1": PublishedTable(
            "Table 1: settings of the switch in Figure 20",
            "Table 1",
            "quantile: k of the gate; alpha weighs the semantic reward, beta disagreement.",
            settings,
        ),
        "hyperparameters": PublishedTable(
            "Hyper-parameters (Appendix B)",
            "Hyper-parameters",
            "Robodesk has four columns: GPT-4 with two cameras (the main result), GPT-4 with the right camera alone, an oracle on "
            "Plan2Explore data, and an oracle on CEE-US data; which column is which of the last three is our reading.",
            parameters.rename(columns={"title": "hyperparameter"}),
        ),
    }


def make(folder: Path = PUBLISHED) -> list[Path]:
    """Draw every figure, write every table and the page into `folder`; returns the files."""
    written = registry.draw_published(folder)
    for name, table in tables().items():
        texts = table.values.to_csv(index=False, lineterminator="\n"), markdown(table.values)
        for path, text in zip(published_table(name, folder), texts, strict=True):
            write_text(path, text)
            written.append(path)
    page = published_report(folder)
    write_text(page, build(folder))
    return [*written, page]


def build(folder: Path) -> str:
    """The HTML of the page around the pictures in `folder`."""
    return rendered(
        "published.html",
        figures=[_figure(key, one.title, published_figure(key, folder)[1]) for key, one in registry.published().items()],
        tables=[_table(name, table) for name, table in tables().items()],
        claims=[_claim(claim) for claim in published.claims().itertuples()],
    )


def _figure(key: int | str, title: str, png: Path) -> dict[str, Any]:
    short = f"Figure {key}" if isinstance(key, int) else key.replace("_", " ").capitalize()
    source = data_url(png, "image/png")
    return {"name": png.stem, "short": short, "title": title, "caption": style.read_caption(png), "source": source}


def _table(name: str, table: PublishedTable) -> dict[str, Any]:
    return {"name": name, "title": table.title, "short": table.short, "note": table.note, **of_frame(table.values, published.titles())}


def _claim(claim: Any) -> list[dict[str, Any]]:
    titles = published.titles()
    values = map(style.count, published_pair(claim))
    sides = [f"{titles[name]} {value}" for name, value in zip((claim.better, claim.worse), values, strict=True)]
    return [text_cell(text) for text in (claim.figure, titles[claim.environment], claim.statement, *sides)]
