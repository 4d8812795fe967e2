"""Annotation: shards of raw replies, merged into labels."""

from pathlib import Path

from sensei.config import AnnotatorConfig


def annotate_shard(pairs_path: Path, frames_path: Path, name: str, config: AnnotatorConfig, shard: int, shards: int, output: Path, seed: int) -> None:
    """Ask annotator `name` about every `shards`-th pair (shard 0-based), append-only, resumable; the finished shard appears at `output` (jsonl)."""
    raise NotImplementedError


def merge_shards(shard_paths: list[Path], pairs_path: Path, labels_path: Path, card_path: Path) -> dict:
    """Write `labels_path` (parquet, one row a pair: pair, label, swapped, answer, oracle, text, error) and `card_path` (json); returns the card."""
    raise NotImplementedError
