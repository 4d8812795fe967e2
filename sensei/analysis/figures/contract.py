"""What a figure is: one class, in one file of this folder or of another repository.

A study names it under `figures:` by the name of its module here, or as package.module:Class. The module is imported to plan a study: what
draws is imported by `draw`.
"""

from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd

from sensei.analysis import style
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import EXPLORE, Run, missing_runs, read_scores
from sensei.analysis.style import Drawing
from sensei.core.errors import SenseiError
from sensei.study.layout import Layout
from sensei.study.models.study import Study

SHOWN = 10  # missing runs that an error names


class Figure(ABC):
    """A figure, drawn from finished artefacts only: equal artefacts give equal bytes.

    Attributes:
        title: what it shows, a line above it on the report's page.
        name: of its files, results/{study}/figures/{name}.pdf; by default that of its module.
        published: what `draw_published` draws: figures of the paper by their numbers, other published values by a name.
        draws_states: whether it has environments draw states again.
        phases: whose runs it draws: explore, learn.
        draws_labels: whether it draws labels or reward models, which a study without annotators does not have.
    """

    title: ClassVar[str]
    name: ClassVar[str]
    published: ClassVar[tuple[int | str, ...]] = ()
    draws_states: ClassVar[bool] = False
    phases: ClassVar[tuple[str, ...]] = (EXPLORE, "learn")
    draws_labels: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls.name = vars(cls).get("name", cls.__module__.rpartition(".")[2])

    def concerns(self, study: Study) -> bool:
        """Whether it shows any environment of the study; asked where some are left out, and a figure of those alone is left out too."""
        return True

    def check(self, study: Study) -> None:
        """That the study, whatever its runs will give, has something to show; asked before any of its jobs.

        Raises:
            SenseiError: it has not.
        """
        if self.phases == ("learn",) and not study.learn:
            raise SenseiError(f"figure {self.name} draws task runs, and `learn` names no method", hint=f"remove {self.name} from `figures`")

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """The files that it is drawn from, by names of its own choice; by default the table of scores."""
        return {"scores": layout.scores}

    def folders(self, study: Study, layout: Layout) -> dict[Path, Path]:
        """Folders of which it reads files that one of its inputs names (folder -> that input): which ones, is known only after the run."""
        return {}

    def within(self, study: Study, inputs: Inputs) -> list[Path] | None:
        """Which files of `folders` it reads, now that its inputs are there; by default all of them, None."""
        return None

    def load(self, study: Study, inputs: Inputs) -> Any:
        """What `draw` needs, read from what `inputs` declared, by the names given there, and from nothing else; by default the scores.

        Raises:
            SenseiError: a file is missing or damaged, or was not declared; it is named.
        """
        return read_scores(inputs["scores"])

    def missing(self, study: Study, data: Any) -> list[Run]:
        """The runs of the study that `data`, which `load` returned, lacks; none for what is not drawn from a table of runs."""
        of_runs = isinstance(data, pd.DataFrame) and {"environment", "method", "seed"} <= set(data.columns)
        return missing_runs(study, data, self.phases) if of_runs else []

    @abstractmethod
    def draw(self, study: Study, data: Any) -> Drawing:
        """The drawing of what `load` returned; a pure function.

        Raises:
            SenseiError: the study has nothing that the figure could show.
        """

    def draw_published(self, number: int | str) -> Drawing:
        """One of `published`, from the published values alone."""
        raise NotImplementedError(f"{self.name} draws no published values")


def drawing(figure: Figure, study: Study, inputs: dict[str, Path | list[Path]]) -> Drawing:
    """A figure of the study, drawn from `inputs`, which it declared; with `allow_partial`, its caption names the runs that are missing.

    Raises:
        SenseiError: runs are missing and the study does not allow it, they are named; or as `Figure.check`, `Figure.load`, `Figure.draw`.
    """
    figure.check(study)
    data = figure.load(study, Inputs(inputs))
    missing = [str(run) for run in figure.missing(study, data)]
    if missing and not study.allow_partial:
        more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
        raise SenseiError(
            f"figure {figure.name} lacks {len(missing)} run(s) of the study: {', '.join(missing[:SHOWN])}{more}",
            hint="`snakemake figures` with the study's --configfile makes them; `allow_partial: true` in the study draws without",
        )
    with style.styled():
        drawn = figure.draw(study, data)
    return replace(drawn, caption=f"{drawn.caption} Not there, and not drawn: {'; '.join(missing)}.") if missing else drawn


def make(figure: Figure, study: Study, inputs: dict[str, Path | list[Path]], outputs: list[Path]) -> None:
    """Draw a figure of the study from `inputs`, which it declared, into three files: pdf, png and csv.

    Raises:
        SenseiError: as `drawing`.
    """
    style.save(drawing(figure, study, inputs), *outputs)
