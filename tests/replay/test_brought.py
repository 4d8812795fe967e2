"""Episodes that people bring: what may lie in their folder, and what is said of what does not fit."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from sensei.core.errors import SenseiError
from sensei.preferences.frames import Frames
from sensei.preferences.pairs import brought_fit, pair_brought
from sensei.preferences.tables import states
from sensei.replay import brought
from sensei.study.models.environment import EnvironmentConfig
from sensei.study.models.preferences import PairsConfig

DESK = EnvironmentConfig(family="robodesk", level="Robodesk", tasks=["t"], title="-", episode_steps=9, events=["ball_moved"])
NAMES = ["key_held", "t"]
ROOM = EnvironmentConfig(family="minihack", level="KeyRoom-S5", tasks=["t"], title="-", episode_steps=9, events=["door_opened"])


def pictures(steps: int, first: int, side: int = 6) -> np.ndarray:
    """Frame t of brightness first + t."""
    return np.broadcast_to((first + np.arange(steps, dtype=np.uint8))[:, None, None, None], (steps, side, side, 3))


def drawn(folder, tmp_path, environment=ROOM, **options):
    table = pair_brought(folder, PairsConfig(**options), 0, tmp_path / "pairs.parquet", tmp_path / "frames.npz", environment)
    return table, Frames(tmp_path / "frames.npz")


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / "brought"
    made.mkdir()
    return made


def test_pictures_alone_will_do_for_annotators_that_look_at_them(folder, tmp_path):
    for name, first in (("monday", 0), ("tuesday", 100)):
        (folder / name).mkdir()
        for step, picture in enumerate(pictures(4, first)):
            Image.fromarray(picture).save(folder / name / f"{step:02d}.png")
    (folder / "notes.txt").write_text("not an episode")
    table, frames = drawn(folder, tmp_path, number=16)
    for row in table.to_dict("records"):
        assert {row["first_file"], row["second_file"]} == {"monday", "tuesday"}
        for side in ("first_", "second_"):
            brightness = row[f"{side}time"] + (100 if row[f"{side}file"] == "tuesday" else 0)
            assert (frames.image[row[f"{side}frame"]] == brightness).all()
    assert frames.flags.shape == (8, 0) and states(table, "first_") == {}
    assert len(brought.files_of(folder)) == 8


def test_arrays_may_hold_flags_and_states_besides(folder, tmp_path):
    for number in range(3):
        state = np.array([[number, step] for step in range(5)], np.float32)
        flags = np.full((5, 2), number / 2, np.float32)
        np.savez(
            folder / f"e{number}.npz", annotator_image=pictures(5, 50 * number), flags=flags, state=state, state_names=["key_held", "t"]
        )
    table, frames = drawn(folder, tmp_path, number=60)
    for row in table.to_dict("records"):
        for side in ("first_", "second_"):
            number, step = row[f"{side}state_key_held"], row[f"{side}state_t"]
            assert (frames.image[row[f"{side}frame"]] == 50 * number + step).all()
            assert (frames.flags[row[f"{side}frame"]] == number / 2).all()
    assert brought.sample(folder).state == {"key_held": 0.0, "t": 0.0}


def test_pictures_of_an_environment_that_draws_its_states_are_taken_as_they_are_where_there_is_no_state(folder, tmp_path):
    for number in range(2):
        np.savez(folder / f"{number}.npz", annotator_image=pictures(3, 90 * number))
    _, frames = drawn(folder, tmp_path, DESK, number=9)
    assert sorted(np.unique(frames.image)) == [0, 1, 2, 90, 91, 92]


def test_a_folder_that_does_not_fit_is_named_with_what_would(folder, tmp_path):
    def said(environment=ROOM, place=folder):
        with pytest.raises(SenseiError) as error:
            brought_fit(place, environment)
        assert len(str(error.value).splitlines()) <= 2
        return str(error.value)

    assert "there is no folder of episodes" in said(place=tmp_path / "nowhere")
    assert "no episodes" in said() and "*.npz" in said()
    np.savez(folder / "a.npz", state=np.zeros((3, 1), np.float32), state_names=["x"])
    assert "shows no pictures" in said() and "`annotator_image`" in said()
    assert brought_fit(folder, DESK).state == {"x": 0.0}
    np.savez(folder / "a.npz", image=pictures(3, 0))
    assert "shows nothing" in said()
    np.savez(folder / "a.npz", annotator_image=pictures(3, 0).astype(np.float32))
    assert "`annotator_image` is float32" in said() and "collecting" not in said()
    (folder / "a.npz").write_bytes(b"PK no archive")
    assert "damaged" in said() and "delete" not in said(), "it is not ours to delete"
    (folder / "a.npz").unlink()
    for name, side in (("1.png", 6), ("2.jpg", 7)):
        Image.fromarray(pictures(1, 0, side)[0]).save(folder / name)
    assert "2.jpg is not of the size of 1.png" in said()
    (folder / "2.jpg").write_bytes(b"no picture")
    assert "2.jpg is damaged" in said()
    (folder / "1.png").write_bytes(bomb())
    assert "1.png is damaged" in said() and "bomb" in said()
    (folder / "1.png").unlink()
    (folder / "2.jpg").unlink()
    with open(folder / "a.npz", "wb") as file:
        np.save(file, pictures(3, 0))  # one array, by the name of several
    assert "a.npz is damaged" in said()
    np.savez(folder / "a.npz", annotator_image=pictures(3, 0), state=np.zeros((3, 2), np.float32))
    assert "`state_names` are not those of `state`" in said()


def bomb() -> bytes:
    """A picture that says it has 3.6 billion pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + header + struct.pack(">II", zlib.crc32(header), 0) + b"IDAT" + bytes(4)


def test_what_a_file_manager_leaves_beside_pictures_is_no_step(folder, tmp_path):
    for name in ("a", "b"):
        (folder / name / "more.png").mkdir(parents=True)
        for step, picture in enumerate(pictures(4, 9)):
            Image.fromarray(picture).save(folder / name / f"{step}.png")
            (folder / name / f"._{step}.png").write_bytes(b"Mac OS X")
    assert len(drawn(folder, tmp_path, number=16)[0]) == 16 and brought.index(folder)["steps"].tolist() == [4, 4]


def test_contrastive_pairs_of_pictures_alone_are_refused(folder, tmp_path):
    for number in range(2):
        np.savez(folder / f"{number}.npz", annotator_image=pictures(3, number))
    with pytest.raises(SenseiError):
        drawn(folder, tmp_path, DESK, number=2, kind="contrastive")
    assert not (tmp_path / "pairs.parquet").exists()
