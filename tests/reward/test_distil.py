"""Bradley-Terry distillation: the loss, the split, the choice of the epoch, and a problem it must learn."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.pair import Label
from sensei.reward.distil import bradley_terry_loss, distil, split
from sensei.reward.scorer import RewardScorer
from sensei.study.models.reward import RewardModelConfig

CONFIG = RewardModelConfig(architecture="small", epochs=8, learning_rate=3e-3)
OUTPUTS = ("reward.safetensors", "curves.csv", "card.json")


@given(st.lists(st.tuples(st.floats(-30, 30), st.floats(-30, 30), st.sampled_from([0.0, 0.5, 1.0])), min_size=1, max_size=20))
@settings(deadline=None)
def test_the_loss_is_the_papers(rows):
    first, second, y = np.array(rows).T
    rewards = np.stack([first, second])
    p_1, p_2 = np.exp(rewards) / np.exp(rewards).sum(0)
    expected = -((1 - y) * np.log(p_1) + y * np.log(p_2)).mean()
    actual = bradley_terry_loss(*(torch.from_numpy(array) for array in (first, second, y)))
    assert actual.item() == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_only_differences_matter_and_a_tie_wants_equal_rewards():
    first, second, tie = torch.tensor([1.0]), torch.tensor([3.0]), torch.tensor([0.5])
    assert bradley_terry_loss(first, second, tie) == bradley_terry_loss(first + 50, second + 50, tie)
    assert bradley_terry_loss(first, second, tie) > bradley_terry_loss(first, first, tie) == pytest.approx(np.log(2))


@given(st.lists(st.sampled_from([0, 1, 2, 3, None]), min_size=2, max_size=60), st.floats(0.01, 0.99))
@settings(deadline=None)
def test_the_split_uses_each_usable_pair_once(codes, share):
    labels = pd.Series(pd.array(codes, dtype="Int8"))
    usable = [pair for pair, code in enumerate(codes) if code in (0, 1, 2)]
    if len(usable) < 2:
        with pytest.raises(SenseiError, match=f"found {len(usable)} labelled pairs of {len(codes)}"):
            split(labels, share, generator(0))
        return
    training, validation = split(labels, share, generator(0))
    assert sorted([*training, *validation]) == usable
    assert min(len(training), len(validation)) >= 1
    assert abs(len(validation) - share * len(usable)) <= 1
    np.testing.assert_array_equal(split(labels, share, generator(0))[1], validation)


def test_the_published_split_is_80_to_20():
    training, validation = split(pd.Series(np.zeros(1000), dtype="Int8"), RewardModelConfig().validation_share, generator(0))
    assert (len(training), len(validation)) == (800, 200)
    assert not np.array_equal(np.sort(validation), np.arange(200))


@pytest.fixture(scope="module")
def bright(tmp_path_factory):
    """Pairs of flat pictures of which the brighter is preferred; nearly equal ones are ties, some are unknown."""
    folder, rng = tmp_path_factory.mktemp("bright"), np.random.default_rng(0)
    value = rng.integers(0, 256, 120)
    picture = np.broadcast_to(value[:, None, None, None], (120, 52, 52, 3)).astype(np.uint8)
    save_frames(folder / "main.frames.npz", {"default": picture}, np.zeros((120, 0), np.float32))
    sides = rng.integers(120, size=(1000, 2))
    pd.DataFrame({"pair": range(1000), "first_frame": sides[:, 0], "second_frame": sides[:, 1]}).to_parquet(folder / "main.parquet")
    difference = value[sides[:, 1]] - value[sides[:, 0]]
    label = np.select([np.abs(difference) < 10, difference < 0], [Label.TIE, Label.FIRST], Label.SECOND)
    oracle = label.copy()
    label[:100] = Label.UNKNOWN
    columns = {name: pd.array(values, dtype="Int8") for name, values in (("label", label), ("oracle", oracle))}
    pd.DataFrame({"pair": range(1000), **columns}).to_parquet(folder / "labels.parquet")
    return folder


def run(source, target, config=CONFIG, seed=0, share=1.0):
    """Distil `source` into `target`."""
    inputs = tuple(source / name for name in ("labels.parquet", "main.parquet", "main.frames.npz"))
    return distil([inputs], config, seed, *(target / name for name in OUTPUTS), share=share)


def test_brightness_is_learned(bright, tmp_path):
    card = run(bright, tmp_path)
    assert card == json.loads((tmp_path / "card.json").read_text())
    assert card["held_out"]["share"] > 0.95
    assert card["oracle"]["share"] > 0.95
    assert card["pairs"] == {"training": 720, "validation": 180, "dropped": 100}
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert list(curves) == ["epoch", "train_loss", "train_accuracy", "validation_loss", "validation_accuracy"]
    assert curves["epoch"].tolist() == list(range(1, CONFIG.epochs + 1))
    best = curves["validation_loss"].idxmin()
    assert card["chosen_epoch"] == curves["epoch"][best]
    assert card["validation_loss"] == pytest.approx(curves["validation_loss"][best])
    assert card["held_out"]["share"] == pytest.approx(curves["validation_accuracy"][best])
    ramp = np.broadcast_to(np.arange(0, 256, 15)[:, None, None, None], (18, 52, 52, 3)).astype(np.uint8)
    rewards = RewardScorer.load(tmp_path / "reward.safetensors")(ramp, np.zeros((18, 0), np.float32))
    assert (np.diff(rewards) > 0).mean() > 0.9


def test_a_share_of_the_labels_is_judged_by_the_same_pairs(bright, tmp_path):
    cards = {share: run(bright, tmp_path, CONFIG.model_copy(update={"epochs": 2}), share=share) for share in (0.0, 0.1, 1.0)}
    assert [card["pairs"]["training"] for card in cards.values()] == [1, 72, 720]
    assert {(card["pairs"]["validation"], card["pairs"]["dropped"], card["held_out"]["count"]) for card in cards.values()} == {
        (180, 100, cards[1.0]["held_out"]["count"])
    }
    assert cards[0.1]["validation_loss"] > cards[1.0]["validation_loss"]


def test_centred_rewards_differ_by_a_constant_and_have_no_mean(bright, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 2})
    rewards, cards = [], []
    for name, centred in (("plain", False), ("centred", True)):
        (tmp_path / name).mkdir()
        cards.append(run(bright, tmp_path / name, config.model_copy(update={"centred": centred})))
        image, flags = Frames(bright / "main.frames.npz").image, np.zeros((120, 0), np.float32)
        rewards.append(RewardScorer.load(tmp_path / name / "reward.safetensors")(image, flags))
    shift = rewards[0] - rewards[1]
    assert np.ptp(shift) < 1e-4 < abs(shift[0])
    sides = pd.read_parquet(bright / "main.parquet")[["first_frame", "second_frame"]].to_numpy()[100:]
    assert abs(rewards[1][sides].mean()) < 0.1 * rewards[1].std()  # held-out pairs are among these
    assert [card["held_out"] for card in cards] == [cards[0]["held_out"]] * 2
    assert cards[0]["scale"]["low"] - cards[1]["scale"]["low"] == pytest.approx(shift[0], abs=1e-3)


def test_the_best_epoch_is_kept_not_the_last(bright, tmp_path):
    """With a learning rate that is far too high the loss jumps about; the stored model is that of the lowest one."""
    card = run(bright, tmp_path, CONFIG.model_copy(update={"learning_rate": 0.05, "epochs": 6}))
    short = run(bright, tmp_path, CONFIG.model_copy(update={"learning_rate": 0.05, "epochs": card["chosen_epoch"]}))
    assert card["chosen_epoch"] == short["chosen_epoch"] < 6
    assert card["validation_loss"] == short["validation_loss"]


def test_equal_seeds_give_equal_files(bright, tmp_path):
    config = CONFIG.model_copy(update={"epochs": 2})
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        (tmp_path / name).mkdir()
        run(bright, tmp_path / name, config, seed)
    for output in OUTPUTS:
        a, b, c = ((tmp_path / name / output).read_bytes() for name in "abc")
        assert a == b != c


def test_without_an_oracle_the_card_says_so(bright, tmp_path):
    for name in ("main.parquet", "main.frames.npz"):
        (tmp_path / name).write_bytes((bright / name).read_bytes())
    labels = pd.read_parquet(bright / "labels.parquet")
    labels.assign(oracle=pd.array([None] * len(labels), dtype="Int8")).to_parquet(tmp_path / "labels.parquet")
    assert run(tmp_path, tmp_path, CONFIG.model_copy(update={"epochs": 1}))["oracle"] is None


def test_a_diverging_model_is_an_error_and_writes_nothing(bright, tmp_path):
    with pytest.raises(SenseiError, match="diverged"):
        run(bright, tmp_path, CONFIG.model_copy(update={"learning_rate": 1e38, "epochs": 1}))
    assert list(tmp_path.iterdir()) == []


def test_files_that_do_not_fit_are_named(bright, tmp_path):
    for name in ("main.parquet", "main.frames.npz"):
        (tmp_path / name).write_bytes((bright / name).read_bytes())
    pd.read_parquet(bright / "labels.parquet").iloc[:500].to_parquet(tmp_path / "labels.parquet")
    with pytest.raises(SenseiError, match="do not belong together: found 500 and 1000 pairs"):
        run(tmp_path, tmp_path)
    (tmp_path / "labels.parquet").write_bytes(b"no table")
    with pytest.raises(SenseiError, match="labels.parquet are damaged"):
        run(tmp_path, tmp_path)
