"""What a picture of the 5x5 view shows, in NetHack's own words: the picture is an exact mosaic of tiles, so they can be read off it."""

import functools

import numpy as np
from nle import nethack

from sensei.core.errors import SenseiError
from sensei.envs.minihack.picture import TILE, tile_table

# What every view is made of. The hero is in the middle of each, drawn as a tourist.
PLAIN = frozenset({"floor of a room", "dark part of a room", "wall", "doorway", "tourist"})
NOTHING = "nothing but floor and walls"
NAMELESS = "something strange"  # what NetHack draws but does not name: explosions, rays, the inside of a monster


def describe(glyph: int) -> str | None:
    """NetHack's name of what `glyph` stands for, as a player who knows nothing would call it; None where it has none."""
    if nethack.glyph_is_cmap(glyph):
        return nethack.symdef.from_idx(nethack.glyph_to_cmap(glyph)).explanation or None
    if nethack.glyph_is_monster(glyph):
        return nethack.permonst(nethack.glyph_to_mon(glyph)).mname
    if nethack.glyph_is_normal_object(glyph):
        thing = nethack.objclass(nethack.glyph_to_obj(glyph))
        return nethack.OBJ_DESCR(thing) or nethack.OBJ_NAME(thing)
    return None


@functools.cache
def _names() -> dict[bytes, str]:
    """The name of each tile that has one, by its pixels; tiles that look alike are called by the name of the first glyph."""
    tiles, tile_of_glyph = tile_table(redraw=False)
    names: dict[bytes, str] = {}
    for glyph, tile in enumerate(tile_of_glyph):
        if name := describe(glyph):
            names.setdefault(tiles[tile].tobytes(), name)
    return {tile.tobytes(): NAMELESS for tile in tiles} | names


def vocabulary() -> tuple[str, ...]:
    """Every statement that `statements` can make."""
    return (*dict.fromkeys(_names().values()), NOTHING)


def statements(picture: np.ndarray) -> frozenset[str]:
    """The names of all that is in view, and `NOTHING` if that is but floor, walls and the hero.

    Args:
        picture: uint8 [h, w, 3], as `sensei.envs.minihack.picture.draw` makes it.

    Raises:
        SenseiError: the picture is not made of NetHack's tiles.
    """
    height, width = (side // TILE for side in picture.shape[:2])
    mosaic = picture[: height * TILE, : width * TILE].reshape(height, TILE, width, TILE, 3).swapaxes(1, 2).reshape(-1, TILE, TILE, 3)
    names = _names()
    seen = [names.get(tile.tobytes()) for tile in mosaic]
    if not seen or picture.shape[:2] != (height * TILE, width * TILE) or None in seen:
        raise SenseiError("a picture is not made of NetHack's tiles, so it cannot be described", found=f"{list(picture.shape)}")
    return frozenset(seen) | ({NOTHING} if PLAIN.issuperset(seen) else set())


def caption(things: list[str]) -> str:
    """A caption that says `things`, some of `vocabulary`, of a picture."""
    named = [thing if thing == NOTHING else f"{'an' if thing[0] in 'aeiou' else 'a'} {thing}" for thing in things]
    return f"a screenshot of a dungeon game with {' and '.join(named)} in view"
