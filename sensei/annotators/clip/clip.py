"""Zero-shot preferences of a pretrained CLIP model."""

from collections.abc import Iterable, Iterator, Mapping

from sensei.annotators.clip.options import ClipOptions
from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.prompts import load_prompt
from sensei.core.devices import missing_gpu
from sensei.core.errors import SenseiError
from sensei.core.plugins import missing_packages
from sensei.preferences.pair import Pair, Reply


class ClipAnnotator(Annotator):
    """Compares both pictures with the descriptions of its prompt; see `sensei.annotators.clip.descriptions`."""

    Options = ClipOptions

    @classmethod
    def missing(
        cls, options: ClipOptions, assignment: Assignment, state: Mapping[str, float] | None, online: bool
    ) -> Iterator[SenseiError]:
        """Whether its package is there, and a GPU if one is wanted."""
        yield from missing_packages(f"annotators of kind {options.kind}", "open_clip")
        yield from missing_gpu(options.device)

    def __init__(self, options: ClipOptions, assignment: Assignment):
        from sensei.annotators.clip.descriptions import Descriptions
        from sensei.annotators.clip.model import Clip

        super().__init__(options, assignment)
        clip = Clip(options.model, options.pretrained, options.device)
        self.descriptions = Descriptions(clip, load_prompt(assignment.prompt), options.margin)

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; its text holds both scores."""
        return self.descriptions.annotate(pairs)
