"""What a figure is: one class, in one file of this folder or of another repository.

A study names it under `figures:` by the name of its module here, or as package.module:Class. The module is imported to plan a study: what
draws is imported by `draw`.
"""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar

from sensei.analysis import style
from sensei.analysis.inputs import Inputs
from sensei.analysis.scores import read_scores
from sensei.analysis.style import Drawing
from sensei.study.layout import Layout
from sensei.study.models.study import Study


class Figure(ABC):
    """A figure, drawn from finished artefacts only: equal artefacts give equal bytes.

    Attributes:
        title: what it shows, a line above it on the report's page.
        name: of its files, results/{study}/figures/{name}.pdf; by default that of its module.
        published: the figures of the paper that `draw_published` draws.
        draws_states: whether it has environments draw states again.
    """

    title: ClassVar[str]
    name: ClassVar[str]
    published: ClassVar[tuple[int, ...]] = ()
    draws_states: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any):
        super().__init_subclass__(**options)
        cls.name = vars(cls).get("name", cls.__module__.rpartition(".")[2])

    def concerns(self, study: Study) -> bool:
        """Whether it shows any environment of the study; asked where some are left out, and a figure of those alone is left out too."""
        return True

    def inputs(self, study: Study, layout: Layout) -> dict[str, Path | list[Path]]:
        """The files that it is drawn from, by names of its own choice; by default the table of scores."""
        return {"scores": layout.scores}

    def folders(self, study: Study, layout: Layout) -> dict[Path, Path]:
        """Folders of which it reads files that one of its inputs names (folder -> that input): which ones, is known only after the run."""
        return {}

    def load(self, study: Study, inputs: Inputs) -> Any:
        """What `draw` needs, read from what `inputs` declared, by the names given there, and from nothing else; by default the scores.

        Raises:
            SenseiError: a file is missing or damaged, or was not declared; it is named.
        """
        return read_scores(inputs["scores"])

    @abstractmethod
    def draw(self, study: Study, data: Any) -> Drawing:
        """The drawing of what `load` returned; a pure function.

        Raises:
            SenseiError: the study has nothing that the figure could show.
        """

    def draw_published(self, number: int) -> Drawing:
        """The paper's figure `number`, one of `published`, from the published values alone."""
        raise NotImplementedError(f"{self.name} draws no figure of the paper")


def drawing(figure: Figure, study: Study, inputs: dict[str, Path | list[Path]]) -> Drawing:
    """A figure of the study, drawn from `inputs`, which it declared.

    Raises:
        SenseiError: as `Figure.load` and `Figure.draw`.
    """
    with style.styled():
        return figure.draw(study, figure.load(study, Inputs(inputs)))


def make(figure: Figure, study: Study, inputs: dict[str, Path | list[Path]], outputs: list[Path]) -> None:
    """Draw a figure of the study from `inputs`, which it declared, into three files: pdf, png and csv.

    Raises:
        SenseiError: as `drawing`.
    """
    style.save(drawing(figure, study, inputs), *outputs)
