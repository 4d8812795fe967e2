"""NetHack glyph numbers that the tasks speak of (NLE 1.3.0; checked by name in tests/environment/test_minihack_picture.py)."""

CHEST = 2096
KEY = 2102
OPEN_DOORS = (2372, 2373)
CLOSED_DOORS = (2374, 2375)  # locked ones look the same
FLOOR = 2378
UP_STAIRS = 2382
DOWN_STAIRS = 2383
TOURIST = 339
HEROES = (329, 335, 337)  # caveman, priestess, rogue: the ones the released code re-draws; both tasks play the rogue
