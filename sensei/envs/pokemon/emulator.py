"""The console: PyBoy without a window or sound, in which an action is a button held for a moment."""

import contextlib
import io
import sys
from collections.abc import Iterator

import numpy as np

from sensei.core.errors import SenseiError


@contextlib.contextmanager
def _windowless() -> Iterator[None]:
    """Hide what PyBoy's windows draw with: OpenGL made ready for a window cannot draw without one, as MuJoCo does in the same process."""
    kept = {name: sys.modules.get(name) for name in ("OpenGL", "sdl2")}
    sys.modules.update(dict.fromkeys(kept))  # None: an import of it fails, which PyBoy bears
    try:
        yield
    finally:
        for name, module in kept.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


with _windowless():
    from pyboy import PyBoy

BUTTONS = ("down", "left", "right", "up", "a", "b")  # of the paper's actions, in their order
BOOT_FRAMES = 600  # ten seconds: the maker's logo and what a game shows before it listens


class Emulator:
    """One cartridge. Nothing here is random: chance comes from the console's clock, which is part of a saved game.

    Args:
        rom: content of the cartridge.
        state: saved game that episodes start from; None: the console as it is ten seconds after it is switched on.
        frames: of one action, 60 a second.
        held: frames until the button is let go.

    Raises:
        SenseiError: PyBoy cannot read the saved game.
    """

    def __init__(self, rom: bytes, state: bytes | None, frames: int, held: int):
        # A cartridge's own memory would be read from a file beside it, which is another game on each machine.
        self._console = PyBoy(io.BytesIO(rom), ram_file=None, window="null", sound_emulated=False, log_level="CRITICAL", cgb=False)
        self._console.set_emulation_speed(0)
        self._frames, self._held = frames, held
        if state is None:
            self._console.tick(BOOT_FRAMES, True)
            state = self._saved()
        self._start = state
        try:
            self.reset()
        except Exception as error:  # whatever PyBoy makes of a file that is none of its own
            hint = "save the game with this PyBoy, on this cartridge (docs/pokemon.md)"
            raise SenseiError("the saved game cannot be read", found=f"{type(error).__name__}: {error}", hint=hint) from error

    def reset(self) -> None:
        """Go back to the start."""
        self._console.load_state(io.BytesIO(self._start))
        self._console.tick(1, True)  # a saved game has no picture
        self._settle()

    def press(self, button: str) -> None:
        """Hold a button for a moment and wait."""
        self._console.button_press(button)
        self._console.tick(self._held, False)
        self._console.button_release(button)
        self._console.tick(self._frames - self._held, True)
        self._settle()

    def picture(self) -> np.ndarray:
        """The screen, uint8 [144, 160, 3]."""
        return self._picture

    def read(self, addresses: slice) -> bytes:
        """The bytes at some addresses of the memory."""
        return bytes(self._console.memory[addresses.start : addresses.stop])

    def close(self) -> None:
        """Switch it off; nothing is written."""
        self._console.stop(save=False)

    def _settle(self) -> None:
        self._picture = self._console.screen.ndarray[..., :3].copy()

    def _saved(self) -> bytes:
        file = io.BytesIO()
        self._console.save_state(file)
        return file.getvalue()
