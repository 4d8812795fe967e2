"""The picture is MiniHack's own, pixel for pixel, but for the two glyphs that are drawn otherwise on purpose."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from minihack.tiles import GlyphMapper
from nle import nethack
from PIL import Image

from sensei.envs.minihack import glyphs
from sensei.envs.minihack.levels import MiniHackKeyRoom
from sensei.envs.minihack.picture import NearestResize, draw

GLYPH_MAPPER = GlyphMapper()


def redrawn(crop: np.ndarray) -> np.ndarray:
    """The glyphs of `crop` with hero and up-stairs replaced, written out by hand."""
    replaced = crop.copy()
    for glyph, by in ((329, 339), (335, 339), (337, 339), (2382, 2378)):
        replaced[crop == glyph] = by
    return replaced


def test_pictures_of_a_game_equal_minihacks():
    keys = ("glyphs_crop", "pixel_crop")
    game = MiniHackKeyRoom(room_size=15, subroom_size=5, lit=True, observation_keys=keys, obs_crop_h=5, obs_crop_w=5)
    game.seed(3, 4, reseed=False, lgen=5)
    observation, _ = game.reset()
    rng, stairs = np.random.default_rng(0), 0
    for _ in range(150):
        crop = observation["glyphs_crop"]
        assert np.array_equal(draw(crop, redraw=False), observation["pixel_crop"])
        assert np.array_equal(draw(crop), GLYPH_MAPPER.to_rgb(redrawn(crop)))
        stairs += (crop == 2382).any()
        observation, _, ended, _, _ = game.step(int(rng.integers(8)))
        if ended:
            break
    assert stairs, "the walk saw the up-stairs, so the replacement was put to the test"
    game.close()


@given(arrays.arrays(np.int16, (5, 5), elements=st.integers(0, nethack.MAX_GLYPH - 1)))
def test_any_glyphs_are_drawn_as_minihack_draws_them(crop):
    assert np.array_equal(draw(crop, redraw=False), GLYPH_MAPPER.to_rgb(crop))


@pytest.mark.parametrize("target", [16, 24, 32, 40, 64, 80, 96])
def test_the_agents_picture_is_the_nearest_neighbour_resize(target):
    picture = np.random.default_rng(0).integers(0, 256, (80, 80, 3), np.uint8)
    wanted = np.asarray(Image.fromarray(picture).resize((target, target), Image.Resampling.NEAREST))
    assert np.array_equal(NearestResize(80, target)(picture), wanted)


@pytest.mark.parametrize("target", [24, 32, 40])
def test_what_a_task_turns_on_is_told_apart_in_small_pictures_wherever_it_is(target):
    """Closed door, key, chest, exit, hero, floor, wall: no two look the same in any of the 25 places."""
    matters = [
        min(glyphs.CLOSED_DOORS),
        glyphs.KEY,
        glyphs.CHEST,
        glyphs.DOWN_STAIRS,
        glyphs.TOURIST,
        glyphs.FLOOR,
        nethack.GLYPH_CMAP_OFF + 1,
    ]
    resize = NearestResize(80, target)
    for place in np.ndindex(5, 5):
        shown = set()
        for glyph in matters:
            crop = np.full((5, 5), nethack.GLYPH_CMAP_OFF)
            crop[place] = glyph
            shown.add(resize(draw(crop)).tobytes())
        assert len(shown) == len(matters), place


def test_glyph_numbers_mean_what_their_names_say():
    def monster(glyph: int) -> str:
        return nethack.permonst(nethack.glyph_to_mon(glyph)).mname

    def thing(glyph: int) -> str:
        return nethack.OBJ_NAME(nethack.objclass(nethack.glyph_to_obj(glyph)))

    def place(glyph: int) -> str:
        return nethack.symdef.from_idx(nethack.glyph_to_cmap(glyph)).explanation

    assert [monster(glyph) for glyph in (*glyphs.HEROES, glyphs.TOURIST)] == ["caveman", "priestess", "rogue", "tourist"]
    assert [thing(glyph) for glyph in (glyphs.CHEST, glyphs.KEY)] == ["chest", "skeleton key"]
    assert {place(glyph) for glyph in glyphs.OPEN_DOORS} == {"open door"}
    assert {place(glyph) for glyph in glyphs.CLOSED_DOORS} == {"closed door"}
    assert place(glyphs.FLOOR) == "floor of a room"
    assert place(glyphs.UP_STAIRS) == "staircase up"
    assert place(glyphs.DOWN_STAIRS) == "staircase down"
