"""Shards: an annotator's raw replies to its share of the pairs, asked in parallel and resumable."""

import hashlib
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from sensei.annotators.contract import Assignment
from sensei.annotators.gate import Gate
from sensei.annotators.prompts import load_prompt
from sensei.annotators.registry import make_annotator
from sensei.core.files import sha256
from sensei.core.progress import progress
from sensei.core.rng import generator
from sensei.preferences.frames import Frames
from sensei.preferences.pair import Reply
from sensei.preferences.tables import questions, read_pairs, read_replies
from sensei.study.models.annotators import AnnotatorOptions, annotator_class
from sensei.study.models.preferences import LabelsConfig
from sensei.study.models.study import OPERATIONAL


def annotate_shard(
    pairs_path: str | Path,
    frames_path: str | Path,
    name: str,
    options: AnnotatorOptions,
    shard: int,
    shards: int,
    output: str | Path,
    assignment: Assignment,
    asking: LabelsConfig,
) -> None:
    """Ask one annotator about every `shards`-th pair and keep each raw reply.

    Replies are appended, as they come, to a hidden file beside `output`. An interrupted shard asks only what has no answer yet; failed
    requests and what is no answer are asked again (the ledger says what was answered before). The finished file is renamed to `output`
    (JSON lines: pair, swapped, text, answer, error, fault, view).

    Args:
        pairs_path: table of `make_pairs`.
        frames_path: its frames.
        name: of the annotator, for the progress line.
        options: of the annotator.
        shard: which one, from 0.
        shards: how many there are.
        output: the shard's file.
        assignment: its seed is that of the order shown and of the annotator's own noise, the same for all shards.
        asking: orders and views.

    Raises:
        SenseiError: a file is damaged, the annotator cannot answer about this environment, or too many of the shard's replies are no
            answers; then `output` is not made, however often it is tried.
    """
    output, seed, prompt = Path(output), assignment.seed, assignment.prompt
    what = [options.model_dump(mode="json", exclude=OPERATIONAL), load_prompt(prompt).sha256 if prompt else None]
    own = annotator_class(options.kind).sources(options, assignment.files)
    what += [asking.order, asking.both_orders, asking.views, [sha256(path) for path in own]]
    asked_for = json.dumps([sha256(pairs_path), name, what, shard, shards, seed])
    # A name of its own for each question keeps the replies to another configuration from being taken for replies to this one.
    partial = output.with_name(f".{output.stem}.{hashlib.sha256(asked_for.encode()).hexdigest()[:16]}.partial.jsonl")
    output.parent.mkdir(parents=True, exist_ok=True)
    table, frames = read_pairs(pairs_path), Frames(frames_path)
    known = {(reply.pair, reply.swapped, reply.view): reply for reply in _take_up(partial) if reply.error is None and reply.fault is None}
    rows, swapped = plan(len(table), asking, seed)
    mine = rows % shards == shard
    rows, swapped, views = rows[mine], swapped[mine], asking.asked_views
    with (
        open(partial, "a", encoding="utf-8") as file,
        progress(len(rows) * len(views), f"annotate {name}", "questions", len(known)) as bar,
    ):
        annotator, gate = make_annotator(options, assignment), Gate(name, getattr(options, "max_unreadable", None))
        for reply in known.values():
            gate.count(reply)
        for view in views:
            unasked = np.array([(row, turned, view) not in known for row, turned in zip(rows.tolist(), swapped.tolist(), strict=True)])
            for reply in annotator.annotate(questions(table.iloc[rows[unasked]], frames, swapped[unasked], view)):
                file.write(json.dumps(replace(reply, view=view).record()) + "\n")
                file.flush()
                gate.count(reply)
                bar.update()
        gate.check()
        os.fsync(file.fileno())
    os.replace(partial, output)


def plan(pairs: int, asking: LabelsConfig, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """What is asked in every view: numbers of pairs int64 [Q], and whether the second side is shown first bool [Q].

    Every pair in one order, drawn evenly; then some (`order: both`: all) in the other one.
    """
    swapped = generator(seed, "order shown").random(pairs) < 0.5
    again = np.flatnonzero(generator(seed, "both orders").random(pairs) < asking.reversed_share)
    return np.concatenate([np.arange(pairs), again]), np.concatenate([swapped, ~swapped[again]])


def _take_up(partial: Path) -> list[Reply]:
    """The replies of an interrupted shard; a last line that was not finished is cut off the file."""
    if not partial.exists():
        return []
    content = partial.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(partial, whole)
    return read_replies(partial)
