"""Annotators, one section a kind."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from sensei.study.models.section import Section


class OracleConfig(Section):
    """Reads the game state."""

    kind: Literal["oracle"] = "oracle"
    nearer: bool = Field(
        False,
        description="Robodesk: of two equally interesting states prefer the one with the gripper nearer to an object (paper: neither)",
    )


class NoisyOracleConfig(OracleConfig):
    """An oracle with planted faults."""

    kind: Literal["noisy_oracle"] = "noisy_oracle"
    accuracy: float = Field(1.0, ge=0, le=1, description="share of clear pairs answered correctly")
    first_bias: float = Field(0.0, ge=0, le=1, description="share of answers replaced by `first image`")


class PromptedConfig(Section):
    """What annotators that are asked in words have in common."""

    prompt: str | None = Field(None, description="file of config/prompts, or the path of one's own; null: the environment's")


class Prices(Section):
    """What a server takes and how it counts pictures, as its operator publishes it; changes no answer."""

    input_per_million: float = Field(0.0, ge=0, description="US dollars for 10^6 tokens of questions")
    output_per_million: float = Field(0.0, ge=0, description="US dollars for 10^6 tokens of replies")
    batch_discount: float = Field(0.5, ge=0, le=1, description="share of the price that the Batch API saves")
    as_of: str | None = Field(None, description="date on which these prices were read")
    pictures: Literal["tiles", "patches"] = Field("tiles", description="a picture is counted in tiles of 512 or in patches of 32 pixels")
    tile_tokens: tuple[int, int] = Field((85, 170), description="tiles: tokens of a picture, and of each of its tiles (detail high)")
    patch_factor: float = Field(1.0, gt=0, description="patches: tokens of one")


class RequestsConfig(Section):
    """How fast questions are sent; changes no answer."""

    at_once: int = Field(32, ge=1, description="requests in flight at any time")
    per_minute: int | None = Field(None, ge=1, description="the account's limit of requests a minute; null: none")
    tokens_per_minute: int | None = Field(None, ge=1, description="the account's limit of tokens a minute; null: none")
    timeout: float = Field(60.0, gt=0, description="seconds until a request counts as lost")
    attempts: int = Field(6, ge=1, description="times a request is sent before it counts as failed")
    longest_wait: float = Field(60.0, ge=0, description="most seconds between two attempts, unless the server asks for more")
    batch: bool = Field(False, description="use the Batch API: slower, cheaper")


class OpenAIConfig(PromptedConfig):
    """A model behind a server that speaks the OpenAI API; address and key are OPENAI_BASE_URL and OPENAI_API_KEY."""

    kind: Literal["openai_api"] = "openai_api"
    model: str = Field(description="the server's name of it")
    temperature: float | None = Field(0.2, ge=0, le=2, description="paper: 0.2; null: not sent, for models that take none")
    reply_tokens: int = Field(100, ge=1, description="most tokens of a reply (paper: 100)")
    detail: Literal["low", "high", "auto"] = Field("low", description="how closely the model looks at a picture (paper: low)")
    stitched: bool = Field(False, description="both pictures side by side in one; for models that take a single one")
    structured: bool = Field(False, description="ask for JSON with one of the prompt's answers, where the server can")
    prices: Prices = Prices()
    max_usd: float | None = Field(None, ge=0, description="most dollars all questions to this model together may cost; null: no limit")
    max_unreadable: float = Field(0.1, ge=0, le=1, description="largest share of replies without an answer before the stage fails")
    requests: RequestsConfig = RequestsConfig()


class LocalVLMConfig(PromptedConfig):
    """A Hugging Face model that takes pictures and text, in this process."""

    kind: Literal["local_vlm"] = "local_vlm"
    model: str = Field(description="folder, or id on the hub")
    revision: str | None = Field(None, description="branch, tag or commit on the hub; null: its newest")
    choice: Literal["logits", "text"] = Field(
        "logits", description="logits: the most probable of the prompt's answers, never unreadable; text: generate a reply and read it"
    )
    reply_tokens: int = Field(100, ge=1, description="choice text: most tokens of a reply (paper: 100)")
    temperature: float = Field(0.0, ge=0, le=2, description="choice text: 0 always takes the most probable token (paper: 0.2)")
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = Field("auto", description="auto: as the weights are stored")
    pairs_at_once: int = Field(8, ge=1, description="pairs in a batch")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class DescriptionsConfig(PromptedConfig):
    """What annotators that compare pictures with a prompt's descriptions have in common."""

    margin: float = Field(0.05, ge=0, le=1, description="two pictures whose scores differ by no more are a tie")
    device: Literal["auto", "cpu", "cuda"] = "auto"


class ClipConfig(DescriptionsConfig):
    """A pretrained CLIP model, zero-shot."""

    kind: Literal["clip"] = "clip"
    model: str = Field(description="open_clip's name of an architecture, or a folder with open_clip_config.json and weights")
    pretrained: str | None = Field(None, description="tag (downloaded once) or file of the weights; null for a folder")


class CaptionedClipConfig(DescriptionsConfig):
    """A small CLIP model that the study itself trains on captions of its frames."""

    kind: Literal["captioned_clip"] = "captioned_clip"
    steps: int = Field(300, ge=1, description="updates of its training")


class ReplayedConfig(Section):
    """Labels that are there already."""

    kind: Literal["replayed"] = "replayed"
    file: str = Field(description=".csv or .parquet with columns `pair` and `label`, or .npy [pairs]; 0 first, 1 second, 2 tie, 3 unknown")


AnnotatorConfig = Annotated[
    OracleConfig | NoisyOracleConfig | OpenAIConfig | LocalVLMConfig | ClipConfig | CaptionedClipConfig | ReplayedConfig,
    Field(discriminator="kind"),
]
ANNOTATORS: dict[str, type[Section]] = {model.model_fields["kind"].default: model for model in get_args(get_args(AnnotatorConfig)[0])}
