"""From the options of an annotator to the annotator."""

from sensei.annotators.contract import Annotator, Assignment
from sensei.core.errors import SenseiError
from sensei.study.models.annotators import AnnotatorOptions, annotator_class


def make_annotator(options: AnnotatorOptions, assignment: Assignment) -> Annotator:
    """The annotator that `options` describe.

    Raises:
        SenseiError: a package that it needs is not installed, or as the annotator says.
    """
    try:
        return annotator_class(options.kind)(options, assignment)
    except ModuleNotFoundError as error:
        what = f"an annotator of kind {options.kind} needs the package {error.name}"
        raise SenseiError(what, hint="pip install -e '.[vlm]'") from error
