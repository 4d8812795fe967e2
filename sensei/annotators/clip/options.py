"""What the YAML of annotators that compare pictures with descriptions may say."""

from typing import Literal

from pydantic import Field

from sensei.study.models.annotators import PromptedConfig


class DescriptionsOptions(PromptedConfig):
    """What annotators that compare pictures with a prompt's descriptions have in common."""

    margin: float = Field(0.05, ge=0, le=1, description="two pictures whose scores differ by no more are a tie")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class ClipOptions(DescriptionsOptions):
    """A pretrained CLIP model, zero-shot."""

    model: str = Field(description="open_clip's name of an architecture, or a folder with open_clip_config.json and weights")
    pretrained: str | None = Field(None, description="tag (downloaded once) or file of the weights; null for a folder")


class CaptionedClipOptions(DescriptionsOptions):
    """A small CLIP model that the study itself trains on captions of its frames."""

    steps: int = Field(300, ge=1, description="updates of its training")
