"""Files that a test writes in the place of a stage."""

from pathlib import Path

from sensei.core.provenance import write_manifests


def record(stage: str, *outputs: Path) -> None:
    """Write the manifests that `stage` would have left beside its outputs."""
    write_manifests(stage, list(outputs), {}, {}, None, 0.0)
