"""From names to figures: those in this folder are found by their place, those of other repositories as package.module:Class."""

from collections import Counter
from pathlib import Path

from sensei.analysis import style
from sensei.analysis.figures.contract import Figure
from sensei.core.errors import SenseiError
from sensei.core.plugins import find, names
from sensei.study.layout import PUBLISHED, published_figure
from sensei.study.models.study import Study

ROOM = "sensei.analysis.figures", "Figure", "figure"


def figure(name: str) -> Figure:
    """The figure that `figures:` of a study calls `name`.

    Raises:
        SenseiError: there is none; the message names those there are.
    """
    return find(name, *ROOM)()


def figures_of(study: Study) -> dict[str, Figure]:
    """Name of its files -> figure, in the order of the study.

    Raises:
        SenseiError: one of them does not exist, two have one name, or one draws labels of a study that has none.
    """
    found = [one for one in map(figure, study.figures) if not study.left_out or one.concerns(study)]
    if drawn := [one.name for one in found if one.draws_labels and not study.labelled()]:
        raise SenseiError(
            f"figure {drawn[0]} draws labels or reward models, and nobody labels", hint="name one in `annotators`, or leave the figure out"
        )
    if repeated := [name for name, number in Counter(one.name for one in found).items() if number > 1]:
        same = [entry for entry in study.figures if figure(entry).name == repeated[0]]
        raise SenseiError(f"`figures` names {' and '.join(same)}, whose files have one name", found=repeated[0], hint="give one a `name`")
    return {one.name: one for one in found}


def figure_of(study: Study, name: str) -> Figure:
    """The figure whose files are called `name`: one of the study, or else one of this folder.

    Raises:
        SenseiError: there is none.
    """
    return figures_of(study).get(name) or figure(name)


def published() -> dict[int | str, Figure]:
    """Number of a figure of the paper, or name of other published values -> the figure that draws it from these alone; numbers first."""
    found = {number: one for one in map(figure, names(*ROOM[:2])) for number in one.published}
    return dict(sorted(found.items(), key=lambda entry: (isinstance(entry[0], str), entry[0])))


def draw_published(folder: Path = PUBLISHED) -> list[Path]:
    """Draw all of `published` into `folder`; returns the files."""
    written = []
    for number, one in published().items():
        files = published_figure(number, folder)
        with style.styled():
            style.save(one.draw_published(number), *files)
        written += files
    return written
