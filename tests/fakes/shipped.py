"""The cartridge that PyBoy ships, a still picture, in the place of the user's."""

import hashlib
import importlib.util
from pathlib import Path

ROM = Path(importlib.util.find_spec("pyboy").origin).parent / "default_rom.gb"
OPTIONS = {"rom_sha1": hashlib.sha1(ROM.read_bytes()).hexdigest(), "start": "power_on"}
