"""Episodes on disk: what is written is read back, and damage is found and named."""

import numpy as np
import pandas as pd
import pytest

from sensei.core.errors import SenseiError
from sensei.replay.episodes import KEYS, collect, episode_name, load_episode, save_episode


def make_episode(steps: int = 7, continuous: bool = False, flags: int = 1, brightness: int = 0) -> dict[str, np.ndarray]:
    """A whole episode; its pictures are of one `brightness`, its state is (time, 10 * time)."""
    time = np.arange(steps)
    return {
        "image": np.full((steps, 16, 16, 3), brightness, np.uint8),
        "annotator_image": np.full((steps, 20, 20, 3), brightness, np.uint8),
        "flags": np.zeros((steps, flags), np.float32),
        "action": np.zeros((steps, 2), np.float32) if continuous else np.zeros(steps, np.int64),
        "reward": time.astype(np.float32),
        "is_first": time == 0,
        "is_last": time == steps - 1,
        "is_terminal": np.zeros(steps, bool),
        "events": np.zeros((steps, 1), np.float32),
        "state": np.stack([time, 10 * time], 1).astype(np.float32),
        "event_names": np.array(["key_picked_up"]),
        "state_names": np.array(["time", "ten_times"]),
    }


@pytest.mark.parametrize(("continuous", "flags"), [(False, 1), (True, 0)])
def test_an_episode_is_read_as_it_was_written(tmp_path, continuous, flags):
    episode, path = make_episode(continuous=continuous, flags=flags), tmp_path / episode_name(3, 12)
    save_episode(path, episode)
    read = load_episode(path)
    assert path.name == "worker03-000012.npz"
    assert set(read) == set(KEYS)
    for key in KEYS:
        np.testing.assert_array_equal(read[key], episode[key])
        assert read[key].dtype == episode[key].dtype
    assert set(load_episode(path, ("reward", "state"))) == {"reward", "state"}


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(AssertionError):
        save_episode(tmp_path / episode_name(0, 0), make_episode() | {"reward": np.zeros(3, np.float32)})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"reward": np.zeros(3, np.float32)}, "not one length"),
        ({"reward": np.zeros(7)}, "`reward` is float64"),
        ({"image": np.zeros((7, 16, 16, 4), np.uint8)}, "`image` is uint8"),
        ({"action": np.zeros(7, np.int32)}, "`action` is int32"),
        ({"state_names": np.array(["time"])}, "`state_names`"),
        ({"flags": None}, "lacks flags"),
    ],
)
def test_a_wrong_episode_is_named(tmp_path, change, said):
    path = tmp_path / episode_name(0, 0)
    arrays = {key: value for key, value in (make_episode() | change).items() if value is not None}
    np.savez_compressed(path, **arrays)
    with pytest.raises(SenseiError, match=said) as raised:
        load_episode(path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("damage", ["truncated", "empty", "flipped", "text"])
def test_a_damaged_file_is_named(tmp_path, damage):
    path = tmp_path / episode_name(0, 0)
    save_episode(path, make_episode())
    content = path.read_bytes()
    middle = len(content) // 4
    flipped = content[:middle] + bytes(byte ^ 0xFF for byte in content[middle : middle + 40]) + content[middle + 40 :]
    path.write_bytes({"truncated": content[: len(content) // 2], "empty": b"", "flipped": flipped, "text": b"not an episode"}[damage])
    with pytest.raises(SenseiError, match="damaged") as raised:
        load_episode(path)
    assert str(path) in str(raised.value)


def test_an_absent_file_is_named(tmp_path):
    with pytest.raises(SenseiError, match="there is no episode .*absent"):
        load_episode(tmp_path / "absent.npz")


def test_collect_links_every_episode_and_writes_the_index(tmp_path):
    for worker, episode, steps in [(1, 0, 4), (0, 1, 5), (0, 0, 6)]:
        save_episode(tmp_path / "run" / episode_name(worker, episode), make_episode(steps))
    (tmp_path / "run" / ".half.npz").write_bytes(b"what a killed writer leaves")
    target = tmp_path / "collect"
    (target / "episodes").mkdir(parents=True)
    (target / "episodes" / episode_name(9, 9)).write_bytes(b"of an earlier run")
    index = collect(tmp_path / "run", target)
    assert index[["worker", "episode", "steps"]].to_numpy().tolist() == [[0, 0, 6], [0, 1, 5], [1, 0, 4]]
    assert sorted(file.name for file in (target / "episodes").iterdir()) == index["file"].tolist()
    assert all((target / "episodes" / file).samefile(tmp_path / "run" / file) for file in index["file"])
    pd.testing.assert_frame_equal(pd.read_parquet(target / "index.parquet"), index)
    pd.testing.assert_frame_equal(collect(tmp_path / "run", target), index)
    assert sorted(file.name for file in (target / "episodes").iterdir()) == index["file"].tolist()


def test_collect_copies_where_it_cannot_link(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError("Invalid cross-device link")

    save_episode(tmp_path / "run" / episode_name(0, 0), make_episode())
    monkeypatch.setattr("os.link", refuse)
    collect(tmp_path / "run", tmp_path / "collect")
    assert len(load_episode(tmp_path / "collect" / "episodes" / episode_name(0, 0))["reward"]) == 7


def test_collect_refuses_no_episodes_and_damaged_ones(tmp_path):
    with pytest.raises(SenseiError, match="no episodes"):
        collect(tmp_path / "nowhere", tmp_path / "collect")
    save_episode(tmp_path / "run" / episode_name(0, 0), make_episode())
    (tmp_path / "run" / episode_name(0, 1)).write_bytes(b"damaged")
    with pytest.raises(SenseiError, match="worker00-000001"):
        collect(tmp_path / "run", tmp_path / "collect")
    assert not (tmp_path / "collect" / "index.parquet").exists()
