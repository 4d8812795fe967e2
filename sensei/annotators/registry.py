"""From the configuration of an annotator to the annotator; imports only what that one needs."""

from dataclasses import dataclass
from pathlib import Path

from sensei.annotators.preference import Annotator
from sensei.config import AnnotatorConfig


@dataclass(frozen=True, slots=True)
class Assignment:
    """What an annotator is given besides its configuration.

    seed: of its own noise. prompt: name or path of its prompt file; None for one that is not asked in words. folder: where artefacts of
    its own go, results/{study}/{environment}/labels/{annotator}. ledger: results/ledger.sqlite.
    """

    seed: int
    prompt: str | None
    folder: Path
    ledger: Path


def make_annotator(config: AnnotatorConfig, assignment: Assignment) -> Annotator:
    """The annotator a configuration describes."""
    match config.kind:
        case "oracle":
            from sensei.annotators.oracle import Oracle

            return Oracle()
        case "noisy_oracle":
            from sensei.annotators.oracle import NoisyOracle

            return NoisyOracle(config.accuracy, config.first_bias, assignment.seed)
        case "openai_api":
            from sensei.annotators.openai_api import OpenAIAnnotator

            return OpenAIAnnotator(config, assignment)
    raise AssertionError(config.kind)
