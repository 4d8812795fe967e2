"""Annotators: what the options of all kinds have in common; each kind's own stand beside it in `sensei/annotators`."""

from typing import Annotated, Any

from pydantic import BeforeValidator, Field, SerializeAsAny

from sensei.core.errors import SenseiError, about, quoted
from sensei.core.messages import validate
from sensei.core.plugins import find, names
from sensei.study.models.bounds import Share
from sensei.study.models.names import File, Name, Plugin
from sensei.study.models.section import MOST, Section

ANNOTATORS = "sensei.annotators", "Annotator", "annotator `kind`"
ABOUT = {"episodes", "views"}  # what is asked about, whoever is asked: files of pairs and `labels.views` tell of it too


class AnnotatorOptions(Section):
    """What every kind of annotator is told."""

    kind: Plugin = Field(description="module below sensei/annotators, or package.module:Class")
    episodes: File | None = Field(
        None, description="folder of episodes or pictures of which its pairs are drawn, in place of the collector's runs; null: these"
    )
    views: list[Name] | None = Field(None, max_length=MOST, description="views in which it is asked; null: `labels.views`")


class PromptedConfig(AnnotatorOptions):
    """What annotators that are asked in words have in common."""

    prompt: File | None = Field(None, description="file of config/prompts, or the path of one's own; null: the environment's")
    max_unreadable: Share = Field(0.1, description="largest share of a shard's replies that may be no answers")


def annotator_class(kind: str) -> type[Any]:
    """The class of a kind of annotators; nothing heavy is imported.

    Raises:
        SenseiError: there is none; the message names those there are.
    """
    return find(kind, *ANNOTATORS)


def annotator_options(content: dict[str, Any], source: str) -> AnnotatorOptions:
    """What `content`, a file of config/annotators, says to the kind that it names.

    Args:
        source: what messages call the file.

    Raises:
        SenseiError: one line that names file, key and remedy.
    """
    kind = content.get("kind")
    if not isinstance(kind, str):
        expected = f"one of {', '.join(names(*ANNOTATORS[:2]))}, or package.module:Class"
        raise SenseiError(f"{source}: `kind` names no kind of annotators", found=repr(kind), expected=expected)
    with about(source):
        options = annotator_class(kind).Options
    if not (isinstance(options, type) and issubclass(options, AnnotatorOptions)):
        raise SenseiError(f"{source}: `Options` of {kind}", found=quoted(options), expected="a class that derives from AnnotatorOptions")
    return validate(options, content, source)


def _typed(value: Any) -> Any:
    """A mapping as the options of its kind; for pydantic, which says where it stands."""
    if not isinstance(value, dict):
        return value
    try:
        return annotator_options(value, f"annotator of kind {value.get('kind')}")
    except SenseiError as error:
        raise ValueError(str(error)) from error


AnnotatorConfig = Annotated[SerializeAsAny[AnnotatorOptions], BeforeValidator(_typed)]
