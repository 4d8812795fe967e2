"""What was released with this repository, laid below results/ the first time it is asked for."""

from pathlib import Path

from sensei.study.export import unpack


def released(name: str) -> Path:
    """Folder of the study in an archive beside this file: keyroom_s5, keyroom_s15 or robodesk."""
    return unpack(Path(__file__).parent / f"{name}.tar.gz").root


STUDY = released("keyroom_s5")
ROOM = STUDY / "minihack_keyroom_s5"
EXPLORER = ROOM / "explore/sensei/seed0"
LEARNED = ROOM / "learn/keyroom_s5/sensei/seed0"
REWARD = ROOM / "reward/captioned_clip"
LABELS = ROOM / "labels/captioned_clip/labels.parquet"
PAIRS = ROOM / "pairs/pairs.parquet"
FRAMES = ROOM / "pairs/pairs.frames.npz"
