"""The CLIP model that a study trains itself: captions of real NetHack frames, what is learned from them, and the files it leaves."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from fakes.annotating import options
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from sensei.annotators.clip import training
from sensei.annotators.clip.model import Clip
from sensei.annotators.clip.training import distinct, draw_captions, normalised, train, truths
from sensei.core.errors import SenseiError
from sensei.core.rng import generator
from sensei.core.yaml import read_yaml
from sensei.envs.minihack.captions import NOTHING, describe, statements, vocabulary
from sensei.envs.minihack.glyphs import CHEST, CLOSED_DOORS, DOWN_STAIRS, FLOOR, HEROES, KEY, OPEN_DOORS, UP_STAIRS
from sensei.envs.minihack.picture import draw, tile_table
from sensei.envs.registry import family, make
from sensei.preferences.frames import Frames, save_frames
from sensei.preferences.tables import STATE
from sensei.study.layout import CONFIG_FOLDER, ModelFiles
from sensei.study.models.environment import EnvironmentConfig

KEYROOM = EnvironmentConfig(**read_yaml(CONFIG_FOLDER / "envs" / "minihack_keyroom_s5.yaml")["environment"])
WORDS = {
    KEY: "key",
    CHEST: "chest",
    DOWN_STAIRS: "staircase down",
    **dict.fromkeys(OPEN_DOORS, "open door"),
    **dict.fromkeys(CLOSED_DOORS, "closed door"),
}


def room(*things: int) -> np.ndarray:
    """Glyphs [5, 5]: the rogue on the floor of a room, and `things` around it."""
    glyphs = np.full((5, 5), FLOOR)
    glyphs.ravel()[: len(things)] = things
    glyphs[2, 2] = HEROES[2]
    return glyphs


@given(st.lists(st.sampled_from(sorted(WORDS)), max_size=6))
@settings(deadline=None)
def test_a_picture_is_described_by_what_is_in_it(things):
    said = statements(draw(room(*things)))
    expected = {WORDS[thing] for thing in things} | {"tourist", "floor of a room"}
    assert said == expected | ({NOTHING} if not things else set())


def test_words_are_nethacks_and_all_of_them_are_in_the_vocabulary():
    assert describe(UP_STAIRS) == "staircase up" and UP_STAIRS not in WORDS
    assert statements(draw(room(UP_STAIRS))) == {"tourist", "floor of a room", NOTHING}, "the picture does not show them"
    assert {*WORDS.values(), NOTHING, "tourist", "newt", "water"} <= set(vocabulary())
    tiles, _ = tile_table()
    assert all(statements(tile) <= set(vocabulary()) for tile in tiles), "a tile is called what the vocabulary lacks"


@pytest.mark.parametrize("picture", [np.full((80, 80, 3), 9, np.uint8), draw(room())[:, 1:], np.zeros((0, 0, 3), np.uint8)])
def test_other_pictures_are_not_described(picture):
    with pytest.raises(SenseiError, match="not made of NetHack's tiles"):
        statements(picture)


def test_an_environment_without_words_is_refused():
    with pytest.raises(SenseiError, match="does not describe its pictures in words"):
        family(KEYROOM.model_copy(update={"family": "sensei.envs.toy:KeyDoor"})).captions()


@given(st.integers(0, 10**6))
@settings(deadline=None)
def test_captions_of_pictures_are_true_and_rare_things_are_not(seed):
    holds = np.zeros((40, 9), bool)
    holds[:, 0], holds[3, 1], holds[20:, 2] = True, True, True
    rows, said = draw_captions(holds, 64, generator(seed))
    assert len(rows) == 32 and len(said) == 64
    assert all(holds[row, statement].all() for row, statement in zip(rows, said, strict=False))
    assert sum(1 in statement for statement in said[:32]) >= 3, "one picture of 40 has it, but a third of the captions are about it"


def test_alike_pictures_are_one():
    images = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), np.uint8)[[2, 0, 2, 3, 0]]
    place, different = distinct(images)
    assert len(different) == 3 and (different[place] == images).all()


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """Pairs of frames of a random player in the real game, with the oracle's states."""
    folder, env, rng = tmp_path_factory.mktemp("played"), make(KEYROOM, 40), np.random.default_rng(0)
    images, flags, seen = [], [], []
    for episode in range(12):
        observation, information = env.reset(seed=episode)
        for _ in range(50):
            images.append(env.render_for_annotator().copy())
            flags.append(observation["flags"])
            seen.append(information["state"])
            observation, _, _, _, information = env.step(int(rng.integers(env.action_space.n)))
    env.close()
    save_frames(folder / "frames.npz", {"default": np.stack(images)}, np.stack(flags).astype(np.float32))
    sides = rng.integers(len(images), size=(400, 2))
    columns = {"pair": np.arange(400)}
    for place, side in enumerate(("first_", "second_")):
        columns[f"{side}frame"] = sides[:, place]
        columns |= {f"{side}{STATE}{name}": [seen[frame][name] for frame in sides[:, place]] for name in seen[0]}
    pd.DataFrame(columns).to_parquet(folder / "pairs.parquet")
    return folder


@pytest.mark.slow
def test_a_training_understands_pictures_it_has_not_seen(played, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKED", 500)
    asked = options("captioned_clip", margin=0.1, device="cpu")
    arguments = (asked, KEYROOM, played / "pairs.parquet", played / "frames.npz", 0, "minihack")
    card = train(*arguments, tmp_path / "model")
    assert card == json.loads((tmp_path / "model" / "card.json").read_text())
    pictures = distinct(Frames(played / "frames.npz").image)[1]
    assert card["pictures"]["seen"] + card["pictures"]["held_out"] == len(pictures)
    assert card["oracle"]["accuracy"]["low"] > 0.9 and card["oracle"]["kappa"] > 0.8
    clip = Clip(str(tmp_path / "model"), None)
    assert clip.absolute
    words = family(KEYROOM).captions()
    clear = [words.vocabulary.index(word) for word in ("key", NOTHING)]
    logits = clip.logits(clip.encode_pictures(pictures), clip.encode_texts(words.caption([words.vocabulary[n]]) for n in clear))
    assert ((logits > 0) == truths(pictures, words)[:, clear]).mean() > 0.95
    prepared = torch.stack([clip.preprocess(Image.fromarray(picture)) for picture in pictures[:3]])
    torch.testing.assert_close(prepared, normalised(torch.from_numpy(pictures[:3]).permute(0, 3, 1, 2)))


@pytest.mark.slow
def test_equal_seeds_train_equal_models(played, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "CHECKED", 20)
    asked = options("captioned_clip", steps=2, device="cpu")
    weights = []
    for number, seed in enumerate((0, 0, 1)):
        train(asked, KEYROOM, played / "pairs.parquet", played / "frames.npz", seed, "minihack", tmp_path / str(number))
        weights.append(ModelFiles(tmp_path / str(number)).weights.read_bytes())
    assert weights[0] == weights[1] != weights[2]
