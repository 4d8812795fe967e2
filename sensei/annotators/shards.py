"""Shards: an annotator's raw replies to its share of the pairs, asked in parallel and resumable."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from sensei.annotators.frames import Frames
from sensei.annotators.labels import read_replies
from sensei.annotators.pairs import questions, read_pairs
from sensei.annotators.preference import Reply
from sensei.annotators.prompts import load_prompt
from sensei.annotators.registry import Assignment, make_annotator
from sensei.config import OPERATIONAL, AnnotatorConfig
from sensei.io import sha256
from sensei.progress import progress
from sensei.rng import generator


def annotate_shard(
    pairs_path: str | Path,
    frames_path: str | Path,
    name: str,
    config: AnnotatorConfig,
    shard: int,
    shards: int,
    output: str | Path,
    assignment: Assignment,
) -> None:
    """Ask one annotator about every `shards`-th pair and keep each raw reply.

    Replies are appended, as they come, to a hidden file beside `output`. An interrupted shard asks only what has no reply yet; failed
    requests are asked again. The finished file is renamed to `output` (JSON lines: pair, swapped, text, answer, error).

    Args:
        pairs_path: table of `make_pairs`.
        frames_path: its frames.
        name: of the annotator, for the progress line.
        config: of the annotator.
        shard: which one, from 0.
        shards: how many there are.
        output: the shard's file.
        assignment: its seed is that of the order shown and of the annotator's own noise, the same for all shards.

    Raises:
        SenseiError: a file is damaged, or the annotator cannot answer about this environment.
    """
    output, seed, prompt = Path(output), assignment.seed, assignment.prompt
    what = [config.model_dump(mode="json", exclude=OPERATIONAL), load_prompt(prompt).sha256 if prompt else None]
    asked_for = json.dumps([sha256(pairs_path), name, what, shard, shards, seed])
    # A name of its own for each question keeps the replies to another configuration from being taken for replies to this one.
    partial = output.with_name(f".{output.stem}.{hashlib.sha256(asked_for.encode()).hexdigest()[:16]}.partial.jsonl")
    output.parent.mkdir(parents=True, exist_ok=True)
    table = read_pairs(pairs_path)
    swapped = order_shown(len(table), seed)
    answered = {reply.pair for reply in _take_up(partial) if reply.error is None}
    own = np.arange(len(table)) % shards == shard
    unasked = own & ~table["pair"].isin(answered).to_numpy()
    pairs = questions(table[unasked], Frames(frames_path), swapped[unasked])
    with open(partial, "a", encoding="utf-8") as file, progress(int(own.sum()), f"annotate {name}", "pairs", len(answered)) as bar:
        for reply in make_annotator(config, assignment).annotate(pairs):
            file.write(json.dumps(reply.record()) + "\n")
            file.flush()
            bar.update()
        os.fsync(file.fileno())
    os.replace(partial, output)


def order_shown(pairs: int, seed: int) -> np.ndarray:
    """Whether each of a table of pairs is asked about in reverse order, bool [pairs]."""
    return generator(seed, "order shown").random(pairs) < 0.5


def _take_up(partial: Path) -> list[Reply]:
    """The replies of an interrupted shard; a last line that was not finished is cut off the file."""
    if not partial.exists():
        return []
    content = partial.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole < len(content):
        os.truncate(partial, whole)
    return read_replies(partial)
