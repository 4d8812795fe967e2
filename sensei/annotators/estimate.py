"""What asking annotators would take, before anything is sent: the one place that says which questions a study will ask."""

import dataclasses
import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from sensei.annotators.contract import Assignment, Expense
from sensei.annotators.prompts import load_prompt
from sensei.annotators.shards import plan
from sensei.envs.registry import make
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Pair, Side
from sensei.preferences.tables import questions, read_pairs
from sensei.study.layout import Layout
from sensei.study.models.annotators import AnnotatorOptions, annotator_class
from sensei.study.models.preferences import LabelsConfig
from sensei.study.models.study import Settings, Study


def estimate_lines(
    study: Study,
    environment: str,
    annotator: str,
    pairs_path: Path | None,
    frames_path: Path | None,
    ledger: Path,
    generation: int = 1,
) -> list[str]:
    """Pairs, tokens, price and time of all shards, in lines for people.

    Args:
        study: which asks.
        environment, annotator: who is asked about what.
        pairs_path, frames_path: pairs and their frames; None before there are any: then as many as the study asks for, of blank pictures.
        ledger: what was answered before; it need not exist.
        generation: whose pairs they are.

    Raises:
        SenseiError: a file is damaged, or the environment cannot be made.
    """
    parts, options, assignment = _assigned(study, environment, annotator, generation, Layout(ledger.parent / study.study))
    known = pairs_path is not None and frames_path is not None
    pairs = drawn(parts, pairs_path, frames_path) if known else _blank(parts, assignment.prompt)
    lines = annotator_class(options.kind).estimate(options, assignment, pairs)
    return lines or [f"annotator {annotator} sends nothing and costs nothing"]


def beyond_budget(study: Study, files: Layout) -> list[str]:
    """Which models would cost more than may be spent on them, by all that a study has yet to ask, a sentence each; none if all is well.

    Args:
        study: which asks.
        files: its folder; what is labelled there costs nothing more.

    Raises:
        SenseiError: a file is damaged, or an environment cannot be made.
    """
    expenses = defaultdict(list)
    for annotator, expense in expenses_of(study, files):
        expenses[expense.model].append((annotator, expense))
    found = []
    for model, asked in expenses.items():
        expected, spent = sum(expense.expected for _, expense in asked), asked[0][1].spent
        limited = [(expense.limit, annotator) for annotator, expense in asked if expense.limit is not None]
        if limited and expected > 0 and spent + expected > min(limited)[0]:
            limit, annotator = min(limited)
            found.append(
                f"the questions to {model} should cost {expected:.2f} $ and {spent:.2f} $ are spent, `max_usd` of annotator {annotator} is "
                f"{limit:g} $: raise it, or lower `pairs.number`"
            )
    return found


def expenses_of(study: Study, files: Layout) -> Iterator[tuple[str, Expense]]:
    """(annotator, what it has yet to be paid) for every environment in which one costs something.

    Raises:
        SenseiError: a file is damaged, or an environment cannot be made.
    """
    for environment, annotator, generation in study.label_sets():
        if expense := _expense(study, environment, annotator, generation, files):
            yield annotator, expense


def _assigned(
    study: Study, environment: str, annotator: str, generation: int, files: Layout
) -> tuple[Settings, AnnotatorOptions, Assignment]:
    parts, folder = study.settings_of(environment, generation), files.labels(environment, annotator, generation).folder
    parts = parts.model_copy(update={"labels": study.asking(environment, annotator)})
    assignment = Assignment(parts.pairs.seeds[0], study.prompt_of(annotator, environment), folder, files.ledger, parts.environment)
    return parts, study.annotator_settings[annotator], assignment


def _expense(study: Study, environment: str, annotator: str, generation: int, files: Layout) -> Expense | None:
    """What an annotator has yet to be paid for an environment; as long as there are no pairs, that of one, as often as there will be."""
    parts, options, assignment = _assigned(study, environment, annotator, generation, files)
    ask, made = annotator_class(options.kind).expense, files.pairs(environment, generation, study.own_pairs(annotator, generation))
    labels = files.labels(environment, annotator, generation)
    if labels.labels.exists() or not ask(options, assignment, []):
        return None
    if made.pairs.exists() and made.frames.exists():
        return ask(options, assignment, drawn(parts, made.pairs, made.frames))
    one = ask(options, assignment, itertools.islice(_blank(parts, assignment.prompt), 1))
    return dataclasses.replace(one, expected=one.expected * questions_of(study, environment, annotator, generation))


def questions_of(study: Study, environment: str, annotator: str, generation: int = 1) -> int:
    """How many questions an annotator will be asked about all pairs of a generation that it is asked about, orders and views together."""
    pairs, options = study.settings_of(environment, generation).pairs.number, study.annotator_settings[annotator]
    return _questions(annotator_class(options.kind).asked(options, pairs), study.asking(environment, annotator))


def _questions(pairs: int, asking: LabelsConfig) -> int:
    return round((1 + asking.reversed_share) * len(asking.asked_views) * pairs)


def drawn(parts: Settings, pairs_path: Path, frames_path: Path) -> Iterator[Pair]:
    """The pairs there are, as all shards ask about them: every question of the first view, then those of the next."""
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
    for question in range(_questions(parts.pairs.number, parts.labels)):
        yield Pair(question % parts.pairs.number, False, side, side)
