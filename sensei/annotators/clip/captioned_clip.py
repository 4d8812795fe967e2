"""Preferences of a small CLIP model that learns, inside the workflow and without network, what the environment's pictures show."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from sensei.annotators.clip.options import CaptionedClipOptions
from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.prompts import load_prompt
from sensei.core.devices import missing_gpu
from sensei.core.errors import SenseiError, mistakes
from sensei.envs.contract import Environment
from sensei.envs.registry import family
from sensei.preferences.pair import Pair, Reply
from sensei.study.layout import LabelFiles
from sensei.study.models.environment import EnvironmentConfig


class CaptionedClip(Annotator):
    """As `clip`, by the model that stage `caption-clip` leaves beside the labels."""

    Options = CaptionedClipOptions
    trained = True

    @classmethod
    def missing(
        cls, options: CaptionedClipOptions, assignment: Assignment, state: Mapping[str, float] | None, online: bool
    ) -> Iterator[SenseiError]:
        """Whether the environment has words for its pictures, and there is a GPU if one is wanted."""
        kind = family(assignment.environment)
        if kind.captions.__func__ is Environment.captions.__func__:  # else it may import a simulator
            yield from mistakes(kind.captions)
        yield from missing_gpu(options.device)

    def __init__(self, options: CaptionedClipOptions, assignment: Assignment):
        from sensei.annotators.clip.descriptions import Descriptions
        from sensei.annotators.clip.model import Clip

        super().__init__(options, assignment)
        clip = Clip(str(assignment.files.model.folder), None, options.device)
        self.descriptions = Descriptions(clip, load_prompt(assignment.prompt), options.margin)

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; its text holds both scores."""
        return self.descriptions.annotate(pairs)

    @classmethod
    def sources(cls, options: CaptionedClipOptions, files: LabelFiles) -> list[Path]:
        """The model."""
        return [files.model.config, files.model.weights]

    @classmethod
    def train(
        cls,
        options: CaptionedClipOptions,
        environment: EnvironmentConfig,
        pairs_path: Path,
        frames_path: Path,
        seed: int,
        prompt: str,
        folder: Path,
    ) -> dict[str, object]:
        """See `sensei.annotators.clip.training.train`."""
        from sensei.annotators.clip.training import train

        return train(options, environment, pairs_path, frames_path, seed, prompt, folder)
