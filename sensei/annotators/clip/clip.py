"""Zero-shot preferences of a pretrained CLIP model."""

from collections.abc import Iterable, Iterator

from sensei.annotators.clip.options import ClipOptions
from sensei.annotators.contract import Annotator, Assignment
from sensei.annotators.prompts import load_prompt
from sensei.preferences.pair import Pair, Reply


class ClipAnnotator(Annotator):
    """Compares both pictures with the descriptions of its prompt; see `sensei.annotators.clip.descriptions`."""

    Options = ClipOptions

    def __init__(self, options: ClipOptions, assignment: Assignment):
        from sensei.annotators.clip.descriptions import Descriptions
        from sensei.annotators.clip.model import Clip

        super().__init__(options, assignment)
        clip = Clip(options.model, options.pretrained, options.device)
        self.descriptions = Descriptions(clip, load_prompt(assignment.prompt), options.margin)

    def annotate(self, pairs: Iterable[Pair]) -> Iterator[Reply]:
        """One reply for each pair; its text holds both scores."""
        return self.descriptions.annotate(pairs)
