"""What the YAML of an annotator behind the OpenAI API may say."""

from typing import Literal

from pydantic import Field

from sensei.study.models.annotators import PromptedConfig
from sensei.study.models.section import Section


class Prices(Section):
    """What a server takes and how it counts pictures, as its operator publishes it; changes no answer."""

    input_per_million: float = Field(0.0, ge=0, description="US dollars for 10^6 tokens of questions")
    output_per_million: float = Field(0.0, ge=0, description="US dollars for 10^6 tokens of replies")
    batch_discount: float = Field(0.5, ge=0, le=1, description="share of the price that the Batch API saves")
    as_of: str | None = Field(None, description="date on which these prices were read")
    pictures: Literal["tiles", "patches"] = Field("tiles", description="a picture is counted in tiles of 512 or in patches of 32 pixels")
    tile_tokens: tuple[int, int] = Field(
        (85, 170), strict=False, description="tiles: tokens of a picture, and of each of its tiles (detail high)"
    )
    patch_factor: float = Field(1.0, gt=0, description="patches: tokens of one")


class Requests(Section):
    """How fast questions are sent; changes no answer."""

    at_once: int = Field(32, ge=1, description="requests in flight at any time")
    per_minute: int | None = Field(None, ge=1, description="the account's limit of requests a minute; null: none")
    tokens_per_minute: int | None = Field(None, ge=1, description="the account's limit of tokens a minute; null: none")
    timeout: float = Field(60.0, gt=0, description="seconds until a request counts as lost")
    attempts: int = Field(6, ge=1, description="times a request is sent before it counts as failed")
    longest_wait: float = Field(60.0, ge=0, description="most seconds between two attempts, on top of what the server asks for")
    batch: bool = Field(False, description="use the Batch API: slower, cheaper")
    charged_once: bool = Field(
        False, description="send an Idempotency-Key, for a server that honours it: a question whose reply broke is not charged again"
    )


class OpenAIOptions(PromptedConfig):
    """A model behind a server that speaks the OpenAI API; address and key are OPENAI_BASE_URL and OPENAI_API_KEY."""

    model: str = Field(description="the server's name of it")
    temperature: float | None = Field(0.2, ge=0, le=2, description="paper: 0.2; null: not sent, for models that take none")
    reply_tokens: int = Field(100, ge=1, description="most tokens of a reply (released code: 100)")
    detail: Literal["low", "high", "auto"] = Field("low", description="how closely the model looks at a picture (released code: low)")
    stitched: bool = Field(False, description="both pictures side by side in one; for models that take a single one")
    structured: bool = Field(False, description="ask for JSON with one of the prompt's answers, where the server can")
    prices: Prices = Prices()
    max_usd: float | None = Field(20.0, ge=0, description="most dollars all questions to this model together may cost; null: no limit")
    requests: Requests = Requests()
