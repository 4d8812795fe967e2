"""The MiniHack games: KeyRoom as MiniHack has it, and the paper's own KeyChest as the released code builds it.

Both repair three faults of NLE 1.3.0 and MiniHack 1.0.2: `reset(seed=...)` is ignored (so `begin` seeds every generator before
every reset); at the end of an episode the game is quit before the last observation is read, which leaves an empty map in it; and a
level that does not compile is passed over in silence.
"""

import re
import subprocess
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from nle.nethack import Command, CompassCardinalDirection, CompassDirection

from sensei.core.errors import SenseiError
from sensei.core.rng import integer_seed

with warnings.catch_warnings():  # MiniHack imports pkg_resources, which says at every import that it is deprecated
    warnings.filterwarnings("ignore", message="pkg_resources is deprecated", category=UserWarning)
    import minihack.base
    from minihack import LevelGenerator, MiniHack, MiniHackNavigation
    from minihack.envs.keyroom import MiniHackKeyRoom

OBSERVATION_KEYS = ("glyphs", "glyphs_crop", "message", "inv_glyphs", "blstats")
CHEST_KEY_MESSAGE = re.compile(rb"[gh] - a key\.")
CHEST_MESSAGE = b"Seems like something lootable over there."


def _options(actions: type | tuple, episode_steps: int) -> dict:
    """Options that both games share. NLE's own limit lies one step beyond ours, which is the one that counts."""
    return {
        "actions": tuple(actions),
        "autopickup": True,
        "character": "rog-hum-cha-mal",
        "max_episode_steps": episode_steps + 1,
        "observation_keys": OBSERVATION_KEYS,
        "obs_crop_h": 5,
        "obs_crop_w": 5,
        "fix_moon_phase": True,  # else the date of the computer plays a part
    }


class _Repaired(MiniHack):
    """MiniHack whose seeds hold, whose last observation is whole and whose level compiler reports errors."""

    def begin(self, seed: int) -> dict[str, np.ndarray]:
        """Start the episode that `seed` fixes; its first observation."""
        core, display, level = (integer_seed(seed, name) for name in ("core", "display", "level"))
        self.seed(core, display, reseed=False, lgen=level)
        return self.reset()[0]

    def _quit_game(self, observation, done) -> None:
        """Leave the game as it is: quitting would empty the map that is read next, and `reset` ends the game anyway."""

    def _patch_nhdat(self, des_file: str) -> None:
        """Compile `des_file` (its text) into this game's data; MiniHack's own version takes no notice of a failure."""
        level = Path(self.nethack._vardir) / "mylevel.des"
        level.write_text(des_file, encoding="ascii")
        command = ["bash", "-e", minihack.base.PATCH_SCRIPT, level.parent, minihack.base.HACKDIR, minihack.base.LIB_DIR, level]
        run = subprocess.run(command, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            found = " ".join((run.stderr or run.stdout).split()) or f"exit status {run.returncode}"
            raise SenseiError(f"NetHack's compiler could not write a level to {level.parent}", found=found, hint="is that disk full?")


class KeyRoom(_Repaired, MiniHackKeyRoom):
    """MiniHack's KeyRoom with 8 moves and APPLY: a locked sub-room holds the exit, its key lies in the room around it."""

    has_chest = False

    def __init__(self, episode_steps: int, room_size: int, subroom_size: int):
        actions = (*CompassDirection, Command.APPLY)
        super().__init__(room_size=room_size, subroom_size=subroom_size, lit=True, **_options(actions, episode_steps))


class KeyChest(_Repaired, MiniHackNavigation):
    """4 moves and OPEN in a corridor with rooms: take the key, then open towards the chest.

    Success is a sequence of two messages, as in the released code: the pick-up under inventory letter g or h, then the one that OPEN
    towards the chest gives. Doors are closed, not locked; nothing is ever unlocked.
    """

    has_chest = True

    def __init__(self, episode_steps: int):
        from minigrid.envs import KeyCorridorEnv  # half the start-up time of a worker that does not need it

        self._layout = KeyCorridorEnv(room_size=4, num_rows=3)  # MiniGrid-KeyCorridorS4R3-v0
        self._key_taken = False
        super().__init__(des_file=self._draw_level(0), **_options((*CompassCardinalDirection, Command.OPEN), episode_steps))

    def begin(self, seed: int) -> dict[str, np.ndarray]:
        """Draw a new layout, then start the episode that `seed` fixes."""
        self._key_taken = False
        self.update(self._draw_level(integer_seed(seed, "layout")))
        return super().begin(seed)

    def _is_episode_end(self, observation):
        message = observation[self._message_index].tobytes()
        self._key_taken = self._key_taken or CHEST_KEY_MESSAGE.search(message) is not None
        if self._key_taken and CHEST_MESSAGE in message:
            return self.StepStatus.TASK_SUCCESSFUL
        return self.StepStatus.RUNNING

    def _draw_level(self, seed: int) -> str:
        """NetHack's description of a MiniGrid KeyCorridor layout: its key a skeleton key, its ball a chest, its doors closed."""
        self._layout.reset(seed=seed)
        grid = self._layout.grid
        things = {(x, y): grid.get(x, y) for y in range(grid.height) for x in range(grid.width)}
        symbols = {"wall": "|", "door": "+"}
        cells = [[symbols.get(getattr(things[x, y], "type", ""), ".") for x in range(grid.width)] for y in range(grid.height)]
        level = LevelGenerator(map="\n".join(map("".join, cells)))
        level.set_start_pos(tuple(map(int, self._layout.agent_pos)))
        for place, thing in things.items():
            match getattr(thing, "type", None):
                case "door":
                    level.add_door("closed", place)
                case "key":
                    level.add_object("skeleton key", "(", place)
                case "ball":
                    level.add_line(f"""CONTAINER:('(',"chest"),not_trapped,{place}{{OBJECT:('`',"boulder")}}""")
        level.wallify()
        return level.get_des()


SUBROOMS = {5: 2, 7: 2, 9: 3, 11: 4, 15: 5}  # side of the room -> of the locked one in it; MiniHack has 5 and 15
LEVELS: dict[str, Callable[[int], KeyRoom | KeyChest]] = {
    **{f"KeyRoom-S{side}": partial(KeyRoom, room_size=side, subroom_size=inner) for side, inner in SUBROOMS.items()},
    "KeyChest": KeyChest,
}


def make_game(level: str, episode_steps: int) -> KeyRoom | KeyChest:
    """The game called `level`.

    Raises:
        SenseiError: there is none of that name.
    """
    if level not in LEVELS:
        raise SenseiError("unknown MiniHack level", found=level, expected=f"one of {', '.join(LEVELS)}")
    return LEVELS[level](episode_steps)
