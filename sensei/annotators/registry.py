"""From the configuration of an annotator to the annotator; imports only what that one needs."""

from dataclasses import dataclass
from pathlib import Path

from sensei.annotators.contract import Annotator
from sensei.annotators.prompts import load_prompt
from sensei.core.errors import SenseiError
from sensei.study.models.annotators import AnnotatorConfig
from sensei.study.models.environment import EnvironmentConfig

MODEL = "model"  # folder of a model that is trained for one annotator, below the folder of its labels
MODEL_FILES = ("open_clip_config.json", "open_clip_model.safetensors")  # names that open_clip looks for in a folder


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an annotator is given besides its configuration.

    seed: of its own noise. prompt: name or path of its prompt file; None for one that is not asked in words. folder: where artefacts of
    its own go, results/{study}/{environment}/labels/{annotator}. ledger: results/ledger.sqlite.
    environment: whose states oracles rank.
    """

    seed: int
    prompt: str | None
    folder: Path
    ledger: Path
    environment: EnvironmentConfig | None = None


def make_annotator(config: AnnotatorConfig, assignment: Assignment) -> Annotator:
    """The annotator a configuration describes.

    Raises:
        SenseiError: a package that it needs is not installed, or as the annotator says.
    """
    try:
        return _make(config, assignment)
    except ModuleNotFoundError as error:
        what = f"an annotator of kind {config.kind} needs the package {error.name}"
        raise SenseiError(what, hint="pip install -e '.[vlm]'") from error


def _make(config: AnnotatorConfig, assignment: Assignment) -> Annotator:
    match config.kind:
        case "oracle":
            from sensei.annotators.oracle.oracle import Oracle

            return Oracle(assignment.environment, config.nearer)
        case "noisy_oracle":
            from sensei.annotators.oracle.noisy_oracle import NoisyOracle

            return NoisyOracle(assignment.environment, config.accuracy, config.first_bias, assignment.seed, config.nearer)
        case "openai_api":
            from sensei.annotators.vlm.openai.openai_api import OpenAIAnnotator

            return OpenAIAnnotator(config, assignment)
        case "local_vlm":
            from sensei.annotators.ledger import Ledger
            from sensei.annotators.vlm.local_vlm import LocalVLM

            ledger = Ledger(assignment.ledger)
            return LocalVLM(config, load_prompt(assignment.prompt), assignment.folder, assignment.seed, ledger)
        case "clip" | "captioned_clip":
            from sensei.annotators.clip.clip import Clip, ClipAnnotator

            model, pretrained = (config.model, config.pretrained) if config.kind == "clip" else (str(assignment.folder / MODEL), None)
            return ClipAnnotator(Clip(model, pretrained, config.device), load_prompt(assignment.prompt), config.margin)
        case "replayed":
            from sensei.annotators.replayed import Replayed

            return Replayed(config.file)
    raise AssertionError(config.kind)


def sources(config: AnnotatorConfig, folder: Path) -> list[Path]:
    """Files that an annotator with this configuration reads besides pairs and frames.

    Args:
        folder: of its labels.
    """
    match config.kind:
        case "captioned_clip":
            return [folder / MODEL / name for name in MODEL_FILES]
        case "replayed":
            return [Path(config.file)]
    return []
