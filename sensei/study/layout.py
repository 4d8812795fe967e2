"""Where everything is: the only place that spells a path below `results/`, and the names of the files in it.

Names may be Snakemake's wildcards ("{seed}") as well as values, so that rules and stages take their paths from the same functions:

    Layout("results/smoke").explore("minihack_keyroom_s5", "sensei", 0).agent    # a path
    Layout("<results>").explore("{environment}", "{method}", "{seed}").agent     # the pattern of a rule

What further generations add stands beside the first one's: `explore2`, `collect2`, `pairs2`, `labels2`, `reward2`.
"""

from dataclasses import dataclass
from pathlib import Path

CONFIG_FOLDER = Path(__file__).resolve().parent.parent.parent / "config"
RESULTS = Path("results")
LEDGER = RESULTS / "ledger.sqlite"  # of all studies, so that none pays for what another has asked
PUBLISHED = RESULTS / "published"
PEOPLE = "people"  # beside the studies: what people answered, which nothing can make again
FIGURE_SUFFIXES = (".pdf", ".png", ".csv")
TABLE_SUFFIXES = (".csv", ".md")
Name = str | int | float


@dataclass(frozen=True)
class RunFiles:
    """Files of one run of stage `explore` or `learn`.

    `checkpoint` is the state of a run that is not complete; it is no output, because a failed job loses its outputs.
    """

    folder: Path

    @property
    def metrics(self) -> Path:
        """One JSON line every `log_every` steps; the seed determines every byte."""
        return self.folder / "metrics.jsonl"

    @property
    def events(self) -> Path:
        """One row an episode."""
        return self.folder / "events.parquet"

    @property
    def agent(self) -> Path:
        """What was learned."""
        return self.folder / "agent.pt"

    @property
    def video(self) -> Path:
        """One episode of the policy at the end."""
        return self.folder / "video.mp4"

    @property
    def outputs(self) -> tuple[Path, Path, Path, Path]:
        """What a complete run leaves."""
        return self.metrics, self.events, self.agent, self.video

    @property
    def timing(self) -> Path:
        """Seconds and rates, which no seed determines."""
        return self.folder / "timing.jsonl"

    @property
    def explored(self) -> tuple[str, str, int]:
        """(environment, method, seed) of an exploration run, of whichever generation, from its place."""
        environment, _, method, seed = self.folder.parts[-4:]
        return environment, method, int(seed.removeprefix("seed"))

    @property
    def tracking(self) -> Path:
        """What trackers have been sent."""
        return self.folder / "tracking.json"

    @property
    def episodes(self) -> Path:
        """Episodes that a collecting run keeps."""
        return self.folder / "episodes"

    @property
    def handed_on(self) -> Path:
        """Folder of the last state of a run with which a further generation goes on: what `checkpoint` was."""
        return self.folder / "handed_on"

    @property
    def handed_on_state(self) -> Path:
        """`state`, in it."""
        return self.handed_on / self.state.name

    @property
    def checkpoint(self) -> Path:
        """Folder of the state between two steps."""
        return self.folder / "checkpoint"

    @property
    def state(self) -> Path:
        """What a resumed run begins from; what it refers to lies beside it."""
        return self.checkpoint / "state.pt"

    @property
    def replay(self) -> Path:
        """Folder of the replay's arrays."""
        return self.checkpoint / "replay"

    def running_episode(self, step: Name, worker: Name) -> Path:
        """An episode that was not over when the state of `step` was saved, of a run that keeps its episodes."""
        return self.checkpoint / f"running-{step}-{worker}.npz"

    @property
    def metrics_so_far(self) -> Path:
        """`metrics` of a run that is not complete."""
        return self.checkpoint / "metrics.jsonl"


@dataclass(frozen=True)
class CollectionFiles:
    """Files of one collection: the episodes of an exploration run, verified."""

    folder: Path

    @property
    def index(self) -> Path:
        """One row an episode."""
        return self.folder / "index.parquet"

    @property
    def episodes(self) -> Path:
        """Folder of the episodes, linked from the run."""
        return self.folder / "episodes"


@dataclass(frozen=True)
class PairFiles:
    """Files of the pairs of one environment."""

    folder: Path

    @property
    def pairs(self) -> Path:
        """One row a pair."""
        return self.folder / "pairs.parquet"

    @property
    def frames(self) -> Path:
        """Every different picture once."""
        return self.folder / "pairs.frames.npz"


@dataclass(frozen=True)
class LabelFiles:
    """Files of one annotator's answers about one environment."""

    folder: Path

    def shard(self, number: Name) -> Path:
        """Raw replies, one line a question."""
        return self.folder / f"shard{number}.jsonl"

    @property
    def labels(self) -> Path:
        """One row a pair."""
        return self.folder / "labels.parquet"

    @property
    def card(self) -> Path:
        """How good the labels are."""
        return self.folder / "card.json"

    @property
    def verdict(self) -> Path:
        """The limits that the labels keep to; there is none if they do not."""
        return self.folder / "trust.json"

    @property
    def asked(self) -> tuple[str, str, str]:
        """(environment, annotator, generation) of labels, from their place."""
        environment, labels, annotator = self.folder.parts[-3:]
        return environment, annotator, labels.removeprefix("labels") or "1"

    @property
    def journal(self) -> Path:
        """What a person answered; not in the folder of the study, so that it outlives it."""
        results = self.folder.parents[3]
        place = results / PEOPLE / self.folder.relative_to(results)
        return place.with_name(f"{place.name}.jsonl")

    @property
    def page_key(self) -> Path:
        """The secret part of the address of the page on which a person answers."""
        return self.journal.with_suffix(".key")

    @property
    def first_turn(self) -> Path:
        """What was asked once, with its reply, by prompts of two turns."""
        return self.folder / "first_turn.json"

    @property
    def model(self) -> "ModelFiles":
        """The model of an annotator that is trained for it."""
        return ModelFiles(self.folder / "model")


@dataclass(frozen=True)
class ModelFiles:
    """Files of an annotator's own model, by the names that open_clip looks for in a folder."""

    folder: Path

    @property
    def config(self) -> Path:
        """Architecture and preprocessing."""
        return self.folder / "open_clip_config.json"

    @property
    def weights(self) -> Path:
        """Weights."""
        return self.folder / "open_clip_model.safetensors"

    @property
    def card(self) -> Path:
        """How well it understands pictures that it has not seen."""
        return self.folder / "card.json"


@dataclass(frozen=True)
class RewardFiles:
    """Files of one reward model."""

    folder: Path

    @property
    def model(self) -> Path:
        """Weights and configuration."""
        return self.folder / "reward.safetensors"

    @property
    def curves(self) -> Path:
        """Loss and accuracy, one row an epoch."""
        return self.folder / "curves.csv"

    @property
    def card(self) -> Path:
        """The chosen epoch and why, held-out accuracy."""
        return self.folder / "card.json"


@dataclass(frozen=True)
class Layout:
    """The folder of one study, `results/{study}`."""

    root: Path

    def __post_init__(self):
        object.__setattr__(self, "root", Path(self.root))

    @classmethod
    def of(cls, study_file: str | Path) -> "Layout":
        """The layout around a resolved study, `results/{study}/study.yaml`."""
        return cls(Path(study_file).parent)

    @property
    def study(self) -> Path:
        """The resolved study."""
        return self.root / "study.yaml"

    @property
    def lock(self) -> Path:
        """Held by the Snakemake that makes the study."""
        return self.root / ".snakemake.lock"

    @property
    def snakemake_log(self) -> Path:
        """What Snakemake says while `make figures` makes the study."""
        return self.root / "snakemake.log"

    @property
    def ledger(self) -> Path:
        """The ledger of all studies beside this one."""
        return self.root.parent / LEDGER.name

    def explore(self, environment: str, method: str, seed: Name, generation: Name = 1) -> RunFiles:
        """An exploration run, up to the end of a generation."""
        return RunFiles(self.root / environment / _of("explore", generation) / method / f"seed{seed}")

    def learn(self, environment: str, task: str, method: str, seed: Name) -> RunFiles:
        """A task run."""
        return RunFiles(self.root / environment / "learn" / task / method / f"seed{seed}")

    def collect(self, environment: str, seed: Name, generation: Name = 1) -> CollectionFiles:
        """A collection, of which the pairs of a generation are drawn."""
        return CollectionFiles(self.root / environment / _of("collect", generation) / f"seed{seed}")

    def pairs(self, environment: str, generation: Name = 1, own: str | None = None) -> PairFiles:
        """The pairs that a generation adds; with `own` those about which this annotator alone is asked."""
        shared = self.root / environment / _of("pairs", generation)
        return PairFiles(self.labels(environment, own, generation).folder if own else shared)

    def labels(self, environment: str, annotator: str, generation: Name = 1) -> LabelFiles:
        """An annotator's answers about the pairs that a generation adds."""
        return LabelFiles(self.root / environment / _of("labels", generation) / annotator)

    def reward(self, environment: str, annotator: str, generation: Name = 1, share: Name = 1) -> RewardFiles:
        """The reward model that learned from `share` of an annotator's labels, of this generation and of those before it."""
        folder = self.root / environment / _of("reward", generation) / annotator
        return RewardFiles(folder if str(share) == "1" else folder / f"share{share}")

    @property
    def scores(self) -> Path:
        """The tidy table of every run."""
        return self.root / "scores.parquet"

    def figure(self, name: str) -> list[Path]:
        """A figure: the drawing twice, and the numbers drawn."""
        return _drawing(self.root / "figures" / name)

    def table(self, name: str) -> list[Path]:
        """A table of final numbers."""
        return [self.root / "tables" / f"{name}{suffix}" for suffix in TABLE_SUFFIXES]

    @property
    def report(self) -> Path:
        """One page with everything."""
        return self.root / "report.html"

    @property
    def archive(self) -> Path:
        """The study as one file to give away, beside its folder."""
        return self.root.with_name(f"{self.root.name}.tar.gz")

    @property
    def croissant(self) -> Path:
        """What an archive holds, with the checksum of every file; in the folder of a study that came from one."""
        return self.root / "croissant.json"


def published_figure(number: Name, folder: Path = PUBLISHED) -> list[Path]:
    """A figure of the paper, by its number, or other published values, by a name, drawn from the published values."""
    return _drawing(folder / (f"fig{number}" if isinstance(number, int) else number))


def published_table(name: str, folder: Path = PUBLISHED) -> list[Path]:
    """A table of the paper."""
    return [folder / f"{name}{suffix}" for suffix in TABLE_SUFFIXES]


def published_report(folder: Path = PUBLISHED) -> Path:
    """One page with all published values."""
    return folder / "report.html"


def _of(folder: str, generation: Name) -> str:
    """What `folder` is called in a generation."""
    return folder if str(generation) == "1" else f"{folder}{generation}"


def _drawing(stem: Path) -> list[Path]:
    return [stem.with_name(f"{stem.name}{suffix}") for suffix in FIGURE_SUFFIXES]


def log_beside(output: Path, name: Name) -> Path:
    """The log of a job that makes `output`."""
    return output.with_name(f"{name}.log")


def manifest_of(path: str | Path) -> Path:
    """The manifest of an artefact, beside it."""
    return Path(f"{path}.manifest.json")
