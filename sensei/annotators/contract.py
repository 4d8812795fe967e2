"""What an annotator is: the base class of every kind, and what each annotator is given."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from sensei.core.errors import SenseiError
from sensei.preferences.pair import Pair, Reply
from sensei.study.layout import LabelFiles
from sensei.study.models.annotators import AnnotatorOptions
from sensei.study.models.environment import EnvironmentConfig


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an annotator is given besides its options.

    seed: of its own noise. prompt: name or path of its prompt file; None for one that is not asked in words. folder: of its labels,
    `Layout.labels`, where artefacts of its own go too. ledger: of all studies. environment: whose states and pictures it is asked about.
    """

    seed: int
    prompt: str | None
    folder: Path
    ledger: Path
    environment: EnvironmentConfig

    @property
    def files(self) -> LabelFiles:
        """Paths in `folder`."""
        return LabelFiles(self.folder)


@dataclass(frozen=True, slots=True)
class Expense:
    """What asking a model would cost in US dollars, and what may be spent on it in all; None: any sum."""

    model: str
    expected: float
    spent: float
    limit: float | None


class Annotator(ABC):
    """Answers questions about pairs in the order asked; stateless, so that an interrupted shard may be taken up anywhere.

    A kind is a module with one class that derives from this one, below `sensei.annotators`, or anywhere else as `kind:
    package.module:Class`. The module is imported to check a study: what is heavy it imports when an annotator is made.

    Attributes:
        Options: what the YAML of this kind may say; `PromptedConfig` among its bases if it is asked in words.
        trained: whether the study trains a model for it before it is asked.
        asks_server: whether its work is done elsewhere: on a cluster it runs where the workflow was started, beside the ledger.
        shares_ledger: whether its answers go to the ledger, to which one machine at a time may write.
    """

    Options: ClassVar[type[AnnotatorOptions]] = AnnotatorOptions
    trained: ClassVar[bool] = False
    asks_server: ClassVar[bool] = False
    shares_ledger: ClassVar[bool] = False

    def __init__(self, options: AnnotatorOptions, assignment: Assignment):
        """Raises SenseiError where it cannot be made; a package that is not installed may show as ModuleNotFoundError."""
        self.options, self.assignment = options, assignment

    @abstractmethod
    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair.

        A request that failed is a reply whose answer is None, with `error`: no label, and asked again when the shard is taken up.
        """

    @classmethod
    def sources(cls, options: AnnotatorOptions, files: LabelFiles) -> list[Path]:
        """Files that it reads besides pairs, frames and its prompt."""
        return []

    @classmethod
    def asked(cls, options: AnnotatorOptions, pairs: int) -> int:
        """About how many of `pairs` pairs it is asked at all."""
        return pairs

    @classmethod
    def missing(
        cls, options: AnnotatorOptions, assignment: Assignment, state: Mapping[str, float] | None, online: bool
    ) -> Iterator[SenseiError]:
        """What it lacks to be asked, found before the first job and within seconds; nothing is sent that costs anything.

        Args:
            state: of the environment after a step; None where it cannot be made.
            online: whether servers may be asked.
        """
        return iter(())

    @classmethod
    def train(
        cls,
        options: AnnotatorOptions,
        environment: EnvironmentConfig,
        pairs_path: Path,
        frames_path: Path,
        seed: int,
        prompt: str | None,
        folder: Path,
    ) -> dict[str, object]:
        """Train its model, for kinds that are `trained`.

        Args:
            environment: which made the frames.
            pairs_path: table of `make_pairs`.
            frames_path: its frames.
            seed: of all that is drawn.
            prompt: with which the model will be asked.
            folder: where the files of `ModelFiles` go.

        Returns:
            The model's card.

        Raises:
            SenseiError: this kind is not trained.
        """
        raise SenseiError(f"annotators of kind {options.kind} are not trained", hint="they can be asked as they are: stage `annotate`")

    @classmethod
    def estimate(cls, options: AnnotatorOptions, assignment: Assignment, pairs: Iterable[Pair]) -> list[str]:
        """What asking about `pairs` would take, in lines for people, before anything is sent; none if nothing is sent."""
        return []

    @classmethod
    def expense(cls, options: AnnotatorOptions, assignment: Assignment, pairs: Iterable[Pair]) -> Expense | None:
        """What asking about `pairs` would cost, before anything is sent; None if it costs nothing."""
        return None
