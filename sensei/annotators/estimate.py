"""What asking an annotator would take, before anything is sent: the one place that says which questions a study will ask."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensei.annotators.contract import Assignment
from sensei.annotators.prompts import load_prompt
from sensei.annotators.shards import plan
from sensei.envs.registry import make
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Pair, Side
from sensei.preferences.tables import questions, read_pairs
from sensei.study.layout import Layout
from sensei.study.models.annotators import annotator_class
from sensei.study.models.study import Settings, Study


def estimate_lines(
    study: Study, environment: str, annotator: str, pairs_path: Path | None, frames_path: Path | None, ledger: Path
) -> list[str]:
    """Pairs, tokens, price and time of all shards, in lines for people.

    Args:
        study: which asks.
        environment, annotator: who is asked about what.
        pairs_path, frames_path: pairs and their frames; None before there are any: then as many as the study asks for, of blank pictures.
        ledger: what was answered before; it need not exist.

    Raises:
        SenseiError: a file is damaged, or the environment cannot be made.
    """
    parts, options = study.settings[environment], study.annotator_settings[annotator]
    folder = Layout(ledger.parent / study.study).labels(environment, annotator).folder
    assignment = Assignment(parts.pairs.seeds[0], study.prompt_of(annotator, environment), folder, ledger, parts.environment)
    known = pairs_path is not None and frames_path is not None
    pairs = _drawn(parts, pairs_path, frames_path) if known else _blank(parts, assignment.prompt)
    lines = annotator_class(options.kind).estimate(options, assignment, pairs)
    return lines or [f"annotator {annotator} sends nothing and costs nothing"]


def _drawn(parts: Settings, pairs_path: Path, frames_path: Path) -> Iterator[Pair]:
    """The pairs there are, as all shards ask about them."""
    table, frames = read_pairs(pairs_path), Frames(frames_path)
    rows, swapped = plan(len(table), parts.labels, parts.pairs.seeds[0])
    yield from itertools.chain.from_iterable(questions(table.iloc[rows], frames, swapped, view) for view in parts.labels.asked_views)


@dataclass(frozen=True, eq=False)
class _White:
    """A frames file of one white picture, uint8 [1, h, w, 3], in every view."""

    image: np.ndarray

    def of(self, view: str | None) -> np.ndarray:
        """See `Frames.of`."""
        return self.image


def _blank(parts: Settings, prompt: str | None) -> Iterator[Pair]:
    """As many pairs as will be asked about, of pictures of the right size, and with the state that the prompt's inventory speaks of."""
    env = make(parts.environment, parts.world_model.image_size)
    frames = _White(np.full((1, *env.annotator_image_shape), 255, np.uint8))
    env.close()
    inventory = load_prompt(prompt).inventory if prompt else None
    side = Side(frames, 0, {inventory["state"]: 1.0} if inventory else {})
    repeats = (1 + parts.labels.reversed_share) * len(parts.labels.asked_views)
    for question in range(round(repeats * parts.pairs.number)):
        yield Pair(question % parts.pairs.number, False, side, side)
