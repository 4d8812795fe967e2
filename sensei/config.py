"""A study, typed: every key is known, described and checked before the first job starts.

Values come from three layers, the later ones win: the defaults here (the constants every experiment of the paper shares,
Appendix B), `config/envs/{environment}.yaml` (what the paper sets for one environment) and the study file (what this study
changes). Methods and annotators are files of their own: `config/methods/`, `config/annotators/`.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from sensei.errors import SenseiError

CONFIG_FOLDER = Path(__file__).resolve().parent.parent / "config"
Source = Literal["extrinsic", "disagreement", "semantic"]
Model = TypeVar("Model", bound=BaseModel)


class Section(BaseModel):
    """A frozen part of the configuration that refuses unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=False, allow_inf_nan=False)


class RobodeskOptions(Section):
    """Choices that the published Robodesk numbers depended on; the defaults are the paper's."""

    render_quality: Literal["full", "fast"] = Field(
        "full", description="full: shadows, reflections and multisampling (paper); fast: none of them, many times as fast on a CPU"
    )
    original_positions: Literal["views", "copies"] = Field(
        "views", description="views: no body ever counts as moved, upstream's mistake (paper); copies: as upstream's tasks mean it"
    )
    reward: Literal["sparse", "dense", "success"] = Field(
        "sparse", description="reward of training: sparse (paper), success at every step; dense, shaped; success, once an episode"
    )


class EnvironmentConfig(Section):
    """What the environment is; everything here is a fact of the benchmark, not a choice of the study."""

    family: Literal["minihack", "robodesk", "toy", "pixels"] = Field(description="module of sensei.envs that makes it")
    level: str = Field(description="name inside the family, e.g. KeyRoom-S15; for `pixels` a Gymnasium id")
    tasks: list[str] = Field(
        min_length=1,
        description="tasks learned downstream, as named in paths and figures; exploration pays the first one's reward",
    )
    title: str = Field(description="name in figures")
    episode_steps: int = Field(ge=1, description="agent steps until the episode is truncated")
    events: list[str] = Field(min_length=1, description="events counted at each step, in the order of the figures")
    robodesk: RobodeskOptions | None = Field(None, description="choices of family robodesk; null: the paper's")

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.robodesk and self.family != "robodesk":
            raise ValueError(f"`robodesk` belongs to family robodesk, not to {self.family}; remove it")
        return self


class WorldModelConfig(Section):
    """World model (paper section 7.1 and 7.2 of the notes, Appendix B)."""

    size: Literal["tiny", "XS", "S", "M", "L", "XL"] = Field("S", description="network preset, see sensei/world_model/sizes.py")
    image_size: int = Field(64, ge=16, multiple_of=8, description="side of the agent's picture in pixels (paper: 64)")
    free_nats: float = Field(1.0, ge=0, description="KL below this many nats is not penalised")
    dynamics_scale: float = Field(0.5, ge=0, description="weight of the KL that moves the prior")
    representation_scale: float = Field(0.1, ge=0, description="weight of the KL that moves the posterior")
    uniform_mix: float = Field(0.01, ge=0, lt=1, description="share of the uniform distribution in every categorical")
    learning_rate: float = Field(1e-4, gt=0, description="Adam step size")
    epsilon: float = Field(1e-8, gt=0, description="Adam epsilon")
    clip: float = Field(1000.0, gt=0, description="largest gradient norm")


class EnsembleConfig(Section):
    """Latent disagreement ensemble (paper section 2.3)."""

    members: int = Field(8, ge=2, description="heads that predict the next stochastic state")
    learning_rate: float = Field(1e-4, gt=0)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(100.0, gt=0)


class BehaviourConfig(Section):
    """Actor-critic in imagination (DreamerV3, January 2023)."""

    horizon: int = Field(15, ge=1, description="imagined steps")
    starts: int | None = Field(None, ge=1, description="states of a batch that are imagined from, drawn at random; null: all (paper)")
    discount: float = Field(1 - 1 / 333, gt=0, lt=1)
    trace: float = Field(0.95, ge=0, le=1, description="lambda of the lambda-return")
    entropy: float = Field(3e-4, ge=0, description="entropy bonus")
    learning_rate: float = Field(3e-5, gt=0)
    epsilon: float = Field(1e-5, gt=0)
    clip: float = Field(100.0, gt=0)
    slow_rate: float = Field(0.02, gt=0, le=1, description="share of the critic that moves into the slow critic at each update")
    slow_weight: float = Field(1.0, ge=0, description="weight of the slow critic's value in the critic loss")
    normaliser_decay: float = Field(0.99, ge=0, lt=1, description="decay of every running percentile")


class Weights(Section):
    """Weight of each reward source in the exploration objective (alpha, beta and chi of Eq. 8)."""

    extrinsic: float = Field(0.0, ge=0)
    disagreement: float = Field(0.0, ge=0)
    semantic: float = Field(0.0, ge=0)


class ExplorationConfig(Section):
    """Go/explore switch of SENSEI for one environment (Appendix B)."""

    percentile: float = Field(90.0, ge=0, le=100, description="k of Q_k, in percent")
    go: Weights = Field(Weights(semantic=1.0, disagreement=0.1), description="weights below the percentile")
    explore: Weights = Field(Weights(semantic=0.3, disagreement=1.0), description="weights from the percentile on")


class TrainingConfig(Section):
    """The loop that acts, stores and learns."""

    explore_steps: int = Field(500_000, ge=1, description="agent steps of an exploration run")
    learn_steps: int = Field(1_000_000, ge=1, description="agent steps of a task run")
    ppo_steps: int | None = Field(None, ge=1, description="agent steps of a PPO run; null: learn_steps")
    workers: int = Field(4, ge=1, description="environments side by side, one process each")
    batch_size: int = Field(16, ge=1)
    batch_length: int = Field(64, ge=2)
    train_ratio: float = Field(512, gt=0, description="replayed steps per agent step")
    acting_lag: Literal[0, 1] = Field(
        0,
        description="turns of updates that the acting policy is behind (paper: 0); 1 lets a graphics card act and learn at the same time",
    )
    prefill: int = Field(1024, ge=1, description="agent steps of the random policy before the first update")
    replay_capacity: int = Field(1_000_000, ge=1, description="steps kept")
    evaluate_every: int = Field(10_000, ge=1, description="agent steps between evaluations of a task run")
    evaluate_episodes: int = Field(1, ge=1, description="episodes of one evaluation (paper: 1 a seed)")
    log_every: int = Field(1_000, ge=1, description="agent steps between lines of metrics.jsonl")
    checkpoint_every: int = Field(5_000, ge=1, description="agent steps between checkpoints")
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["float32", "bfloat16"] = Field("float32", description="autocast type on CUDA; the CPU always uses float32")
    runs_per_gpu: int = Field(1, ge=1, description="runs that share one graphics card at a time")
    compile: Literal["off", "auto", "full"] = Field(
        "auto", description="off: plain PyTorch; auto: what pays, a CUDA graph on a GPU and C kernels on a CPU; full: torch.compile as well"
    )
    tensorboard: bool = Field(False, description="also write TensorBoard files beside metrics.jsonl")


class DownstreamConfig(Section):
    """How a task run starts from an explored agent (paper section 10)."""

    behaviour: Literal["keep", "fresh"] = Field(
        "keep",
        description="keep: the task actor and critic trained during exploration, which is for the environment's first task (they begin "
        "fresh for the others); fresh: initialised anew",
    )


class PairsConfig(Section):
    """Which frames are compared."""

    kind: Literal["random", "contrastive"] = Field(
        "random",
        description="random: any two frames; contrastive: one that the oracle finds very good and one it finds very bad (Robodesk only)",
    )
    number: int = Field(100_000, ge=1, description="pairs asked for")
    seeds: list[int] = Field([0], min_length=1, description="collection runs (exploration seeds) the frames come from")
    shards: int = Field(8, ge=1, le=200, description="annotation jobs the pairs are split into")
    prompt: str = Field("general", description="file of config/prompts for annotators that are given none of their own")


class LabelsConfig(Section):
    """How pairs are put to annotators, and how good a set of labels must be before anything is distilled from it.

    A threshold stops the study if the 95 % interval of the measured share lies beyond it; what was not measured stops nothing.
    """

    order: Literal["random", "both"] = Field(
        "random", description="random: each pair in one order, drawn; both: in both orders, and only consistent answers are kept"
    )
    both_orders: float = Field(
        0.05, ge=0, le=1, description="order random: share of pairs asked in the other order too, to measure order bias (paper: 0)"
    )
    views: list[str] = Field([], description="views each pair is asked in; only what all say alike is kept; empty: the first view alone")
    largest_order_bias: float | None = Field(
        0.5, ge=0, le=1, description="share of clear answers that the position decides: 0 none, 1 all; null: no limit"
    )
    smallest_swap_consistency: float | None = Field(
        0.5, ge=0, le=1, description="share of equal answers among pairs asked in both orders; null: no limit"
    )
    smallest_agreement: float | None = Field(
        0.7, ge=0, le=1, description="accuracy against the oracle, where there is one; 0.5 is chance; null: no limit"
    )
    largest_unknown: float | None = Field(None, ge=0, le=1, description="share of unknown labels; null: no limit")

    @property
    def reversed_share(self) -> float:
        """Share of the pairs that are asked in both orders."""
        return 1.0 if self.order == "both" else self.both_orders

    @property
    def asked_views(self) -> list[str | None]:
        """Views in which each question is asked; None is the first one."""
        return self.views or [None]


class RewardModelConfig(Section):
    """Bradley-Terry reward model R_psi (paper section 6)."""

    architecture: Literal["paper", "small"] = Field("paper", description="small: half the channels and a quarter of the units")
    hidden: int = Field(512, ge=2, description="h: the head is h/2, h, 1")
    batch_size: int = Field(32, ge=1)
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(1e-5, ge=0)
    epochs: int = Field(50, ge=1)
    validation_share: float = Field(0.2, gt=0, lt=1)
    clip: float = Field(100.0, gt=0, description="the scorer clips its output to plus or minus this")


class Settings(Section):
    """Everything that one environment of one study runs with."""

    environment: EnvironmentConfig
    world_model: WorldModelConfig = WorldModelConfig()
    ensemble: EnsembleConfig = EnsembleConfig()
    behaviour: BehaviourConfig = BehaviourConfig()
    exploration: ExplorationConfig = ExplorationConfig()
    training: TrainingConfig = TrainingConfig()
    downstream: DownstreamConfig = DownstreamConfig()
    pairs: PairsConfig = PairsConfig()
    labels: LabelsConfig = LabelsConfig()
    reward: RewardModelConfig = RewardModelConfig()


class Method(Section):
    """What tells one method from another; nothing else differs between methods."""

    title: str = Field(description="name in figures")
    algorithm: Literal["dreamer", "ppo", "random"] = "dreamer"
    sources: list[Source] = Field([], description="rewards the exploration policy maximises; empty: the method only learns tasks")
    gate: Literal["none", "reward_quantile", "return_range"] = Field(
        "none", description="reward_quantile: the paper's (Eq. 8); return_range: the released code's"
    )
    disagreement: Literal["variance", "standard_deviation"] = Field("variance", description="paper: variance; released code: std")
    percentile: float | None = Field(None, ge=0, le=100, description="null: the environment's")
    go: Weights | None = Field(None, description="null: the environment's")
    explore: Weights | None = Field(None, description="null: the environment's")
    annotator: str | None = Field(None, description="whose reward model; null: the study's first annotator")

    @property
    def explores(self) -> bool:
        """Whether the method has an exploration phase."""
        return bool(self.sources) or self.algorithm == "random"

    @property
    def needs_reward_model(self) -> bool:
        """Whether a semantic reward has to be distilled before the method can run."""
        return "semantic" in self.sources

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.algorithm != "dreamer" and self.sources:
            raise ValueError(f"`sources` belong to algorithm dreamer, not to {self.algorithm}; remove them")
        if self.gate != "none" and "semantic" not in self.sources:
            raise ValueError(f"gate {self.gate} compares the semantic reward; add `semantic` to `sources` or set `gate: none`")
        return self


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
# Where, how often and for how much, not what: these change no result, so they re-make nothing.
OPERATIONAL = {
    "device",
    "runs_per_gpu",
    "tensorboard",
    "checkpoint_every",
    "requests",
    "prices",
    "max_usd",
    "max_unreadable",
    "pairs_at_once",
}


class Study(Section):
    """A complete study: its axes, and what it changes in the settings of every environment."""

    study: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description="folder below results/")
    seeds: list[int] = Field(min_length=1)
    environment_seeds: dict[str, list[int]] = Field({}, description="seeds of the environments that have seeds of their own")
    environment_annotators: dict[str, list[str]] = Field({}, description="annotators of the environments that have some of their own")
    environments: list[str] = Field(min_length=1)
    explore: list[str] = Field(min_length=1, description="methods with an exploration run")
    learn: list[str] = Field(min_length=1, description="methods with a task run")
    annotators: list[str] = Field(min_length=1, description="the first one trains the methods, the others are compared with it")
    collector: str = Field("plan2explore", description="exploring method whose runs are the data that is labelled")
    figures: list[str] = Field(min_length=1)
    settings: dict[str, Settings] = Field(description="one resolved entry per environment")
    methods: dict[str, Method]
    annotator_settings: dict[str, AnnotatorConfig]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        for axis in ("seeds", "environments", "explore", "learn", "annotators", "figures"):
            repeated = [value for value, count in Counter(getattr(self, axis)).items() if count > 1]
            if repeated:
                raise ValueError(f"`{axis}` names {repeated[0]} twice; name each once")
        for axis, own in (("seeds", self.environment_seeds), ("annotators", self.environment_annotators)):
            for name, values in own.items():
                if len(set(values)) < len(values):
                    raise ValueError(f"`per_environment.{name}.{axis}` names one twice; name each once")
        for name in [*self.explore, self.collector]:
            if not self.methods[name].explores:
                raise ValueError(f"method {name} has no exploration phase; move it from `explore` to `learn`")
        if self.methods[self.collector].needs_reward_model:
            raise ValueError(f"collector {self.collector} needs labels before there are frames; use plan2explore or random")
        for name in self.learn:
            if self.methods[name].explores and name not in self.explore:
                raise ValueError(f"`learn` names {name}, which starts from its exploration; add it to `explore`")
            if self.methods[name].algorithm == "random":
                raise ValueError("method random learns nothing; remove it from `learn`")
        titles = Counter(method.title for method in self.methods.values())
        if repeated := [title for title, count in titles.items() if count > 1]:
            raise ValueError(f"two methods are called {repeated[0]!r}; give each `title` once")
        for name, parts in self.settings.items():
            frames = parts.training.explore_steps * len(parts.pairs.seeds)
            if parts.pairs.number > frames * (frames - 1) // 2:
                offer = f"{frames} frames of {name} offer {frames * (frames - 1) // 2}"
                raise ValueError(f"`pairs.number` asks for {parts.pairs.number} pairs, {offer}; lower it or raise `training.explore_steps`")
        return self

    def seeds_of(self, environment: str) -> list[int]:
        """Seeds of the runs in `environment`: its own, else the study's."""
        return self.environment_seeds.get(environment, self.seeds)

    def annotators_of(self, environment: str) -> list[str]:
        """Annotators of the frames of `environment`: its own, else the study's."""
        return self.environment_annotators.get(environment, self.annotators)

    def prompt_of(self, annotator: str, environment: str) -> str | None:
        """Name or path of the prompt with which `annotator` is asked about `environment`; None for one that is not asked in words."""
        config = self.annotator_settings[annotator]
        return config.prompt or self.settings[environment].pairs.prompt if isinstance(config, PromptedConfig) else None

    def annotator_of(self, method: str, environment: str) -> str:
        """The annotator whose reward model `method` maximises in `environment`."""
        return self.methods[method].annotator or self.annotators_of(environment)[0]

    def weights(self, environment: str, method: str) -> ExplorationConfig:
        """Percentile, go and explore weights of `method` in `environment`: the method's own, else the environment's."""
        own, given = self.methods[method], self.settings[environment].exploration
        return ExplorationConfig(
            percentile=given.percentile if own.percentile is None else own.percentile,
            go=own.go or given.go,
            explore=own.explore or given.explore,
        )


SETTINGS_KEYS = tuple(key for key in Settings.model_fields if key != "environment")


class Changes(Section):
    """Changes to the sections of `Settings`."""

    world_model: dict[str, Any] = Field({}, description="changes to WorldModelConfig")
    ensemble: dict[str, Any] = Field({}, description="changes to EnsembleConfig")
    behaviour: dict[str, Any] = Field({}, description="changes to BehaviourConfig")
    exploration: dict[str, Any] = Field({}, description="changes to ExplorationConfig")
    training: dict[str, Any] = Field({}, description="changes to TrainingConfig")
    downstream: dict[str, Any] = Field({}, description="changes to DownstreamConfig")
    pairs: dict[str, Any] = Field({}, description="changes to PairsConfig")
    labels: dict[str, Any] = Field({}, description="changes to LabelsConfig")
    reward: dict[str, Any] = Field({}, description="changes to RewardModelConfig")


class EnvironmentChanges(Changes):
    """What a study changes in one of its environments alone."""

    seeds: list[int] | None = Field(None, min_length=1, description="seeds of the runs in this environment; null: the study's")
    annotators: list[str] | None = Field(None, min_length=1, description="annotators of this environment; null: the study's")
    environment: dict[str, Any] = Field({}, description="changes to EnvironmentConfig, e.g. fewer tasks or the quality of its pictures")


class StudyFile(Changes):
    """A study as people write it; `config/schema.json` is generated from this model."""

    study: str = Field(pattern=r"^[A-Za-z0-9_-]+$", description=Study.model_fields["study"].description)
    seeds: list[int] = Field(min_length=1, description="one run per seed, method and environment")
    environments: list[str] = Field(min_length=1, description="files of config/envs")
    explore: list[str] = Field(min_length=1, description=Study.model_fields["explore"].description)
    learn: list[str] = Field(min_length=1, description=Study.model_fields["learn"].description)
    annotators: list[str] = Field(min_length=1, description=Study.model_fields["annotators"].description)
    collector: str = Field("plan2explore", description=Study.model_fields["collector"].description)
    figures: list[str] = Field(min_length=1, description="modules of sensei/analysis/figures")
    per_environment: dict[str, EnvironmentChanges] = Field({}, description="environment -> changes to it alone, laid over those to all")


def merge(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`base` with `changes` laid over it: mappings unite, everything else replaces."""
    merged = dict(base)
    for key, value in changes.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = merge(merged[key], value) if both else value
    return merged


def read_yaml(path: str | Path) -> dict[str, Any]:
    """Read a YAML mapping; anything else is an error that names the file."""
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SenseiError(f"there is no file {path}") from error
    except yaml.YAMLError as error:
        where = " ".join(str(error).split())
        raise SenseiError(f"{path} is not YAML", found=where, hint="mend the line it names") from error
    if not isinstance(content, dict):
        raise SenseiError(f"{path}", found=type(content).__name__, expected="a mapping of keys to values")
    return content


def _named_file(kind: str, name: str, folder: Path, source: str, key: str) -> dict[str, Any]:
    path = folder / kind / f"{name}.yaml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in (folder / kind).glob("*.yaml")))
        raise SenseiError(f"{source}: `{key}` names {name!r}, which has no file config/{kind}/{name}.yaml", expected=f"one of {known}")
    return read_yaml(path)


def _validate(model: type[Model], content: dict[str, Any], source: str) -> Model:
    """Validate; the first fault becomes one line with file, key and remedy."""
    try:
        return model.model_validate(content)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(str(part) for part in fault["loc"]) or "(whole file)"
        if fault["type"] == "extra_forbidden":
            known = sorted(_fields_at(model, fault["loc"][:-1]))
            raise SenseiError(
                f"{source}: unknown key `{key}`", expected=f"one of {', '.join(known)}", hint="correct or remove it"
            ) from error
        if fault["type"] == "value_error":
            raise SenseiError(f"{source}: {fault['ctx']['error']}") from error
        found = None if fault["type"] == "missing" else repr(fault["input"])
        remedy = f"{fault['msg'][0].lower()}{fault['msg'][1:]}"
        raise SenseiError(f"{source}: `{key}`: {remedy}", found=found, hint=f"set `{key}` in {source}") from error


def _fields_at(model: type[BaseModel], location: tuple[Any, ...]) -> list[str]:
    """Names of the keys allowed at `location` below `model`."""
    schema: dict[str, Any] = model.model_json_schema()
    node = schema
    for part in location:
        node = node.get("properties", {}).get(part) or node.get("additionalProperties", {}) or node.get("items", {})
        for option in (node, *node.get("anyOf", []), *node.get("oneOf", [])):
            if "$ref" in option:
                node = schema["$defs"][option["$ref"].rsplit("/", 1)[1]]
                break
    return list(node.get("properties", {}))


def annotator_config(content: dict[str, Any], source: str) -> AnnotatorConfig:
    """The configuration of an annotator from the content of its file.

    Raises:
        SenseiError: one line that names file, key and remedy.
    """
    if content.get("kind") not in ANNOTATORS:
        raise SenseiError(f"{source}: `kind`", found=content.get("kind"), expected=f"one of {', '.join(ANNOTATORS)}")
    return _validate(ANNOTATORS[content["kind"]], content, source)


def load_study(content: dict[str, Any] | str | Path, source: str | None = None, folder: Path = CONFIG_FOLDER) -> Study:
    """Validate a study file (or its content, as Snakemake hands it over) and resolve all that it names.

    Args:
        content: path of a study file, or its content.
        source: what error messages call it; by default the path.
        folder: where `envs/`, `methods/` and `annotators/` are.

    Raises:
        SenseiError: one line that names file, key and remedy.
    """
    if not isinstance(content, dict):
        source, content = source or str(content), read_yaml(content)
    source = source or "the study"
    file = _validate(StudyFile, content, source)
    changes = {key: getattr(file, key) for key in SETTINGS_KEYS}
    for name in file.per_environment:  # may name environments that this study leaves out, but none that there is not
        _named_file("envs", name, folder, source, "per_environment")
    settings = {}
    for name in file.environments:
        given = _named_file("envs", name, folder, source, "environments")
        _validate(Settings, given, f"config/envs/{name}.yaml")
        own = file.per_environment.get(name, EnvironmentChanges()).model_dump(exclude={"seeds", "annotators"})
        settings[name] = _validate(Settings, merge(merge(given, changes), own), source)
    methods = {}
    for axis in ("explore", "learn", "collector"):
        names = getattr(file, axis)
        for name in [names] if isinstance(names, str) else names:
            methods[name] = _validate(Method, _named_file("methods", name, folder, source, axis), f"config/methods/{name}.yaml")
    own_annotators = {name: own.annotators for name, own in file.per_environment.items() if own.annotators and name in file.environments}
    named = [*file.annotators, *(name for names in own_annotators.values() for name in names)]
    wanted = dict.fromkeys([*named, *(m.annotator for m in methods.values() if m.annotator)])
    annotators = {
        name: annotator_config(_named_file("annotators", name, folder, source, "annotators"), f"config/annotators/{name}.yaml")
        for name in wanted
    }
    axes = {key: getattr(file, key) for key in StudyFile.model_fields if key not in (*SETTINGS_KEYS, "per_environment")}
    axes["environment_annotators"] = own_annotators
    axes["environment_seeds"] = {name: own.seeds for name, own in file.per_environment.items() if own.seeds and name in file.environments}
    return _validate(Study, {**axes, "settings": settings, "methods": methods, "annotator_settings": annotators}, source)


def dump_study(study: Study) -> str:
    """The resolved study as YAML, from which `read_study` makes an equal one."""
    return yaml.safe_dump(study.model_dump(mode="json"), sort_keys=False)


def read_study(path: str | Path) -> Study:
    """Read a resolved study (`results/{study}/study.yaml`)."""
    return _validate(Study, read_yaml(path), str(path))


def json_schema() -> str:
    """The content of `config/schema.json`: the study file, its sections spelled out, for editors."""
    schema = StudyFile.model_json_schema()
    definitions = schema.setdefault("$defs", {})
    own = definitions["EnvironmentChanges"]["properties"]
    for key, field in Settings.model_fields.items():
        part = field.annotation.model_json_schema(ref_template="#/$defs/{model}")
        definitions.update(part.pop("$defs", {}))
        own[key] = part | {"required": []}  # what is not named there is in the environment's file
        if key in SETTINGS_KEYS:
            schema["properties"][key] = part
    return json.dumps(schema, indent=2) + "\n"
