"""What was released with this repository, laid below results/ the first time it is asked for."""

from pathlib import Path

from sensei.study.export import unpack

STUDY = unpack(Path(__file__).parent / "keyroom_s5.tar.gz").root
ROOM = STUDY / "minihack_keyroom_s5"
EXPLORER = ROOM / "explore/sensei/seed0"
LEARNED = ROOM / "learn/keyroom_s5/sensei/seed0"
REWARD = ROOM / "reward/captioned_clip"
LABELS = ROOM / "labels/captioned_clip/labels.parquet"
PAIRS = ROOM / "pairs/pairs.parquet"
FRAMES = ROOM / "pairs/pairs.frames.npz"
