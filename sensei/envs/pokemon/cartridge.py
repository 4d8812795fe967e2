"""The cartridge that the user brings, and the saved game that episodes start from; neither is ever shipped."""

import hashlib
import os
from pathlib import Path

from sensei.core.errors import MachineError, SenseiError

ROM, STATE = "SENSEI_POKEMON_ROM", "SENSEI_POKEMON_STATE"  # environment variables, paths
NAME, SIZE = "Pokemon Red (UE) [S][!].gb", 2**20
SHA1 = "ea9bcae617fdf159b045185467ae58b2e4a48b9a"  # as the disassembly pret/pokered builds it


def lacking() -> str | None:
    """Why there is no cartridge; None if one is named."""
    return None if os.environ.get(ROM) else f"no cartridge: set {ROM} to the file of {NAME}"


def read_rom(sha1: str) -> tuple[Path, bytes]:
    """The cartridge's file and content.

    Raises:
        SenseiError: it is another one than that of `sha1`; MachineError: there is none here.
    """
    if reason := lacking():
        raise MachineError(f"pokemon: {reason}")
    path = Path(os.environ[ROM])
    content = _read(path, ROM)
    if (found := hashlib.sha1(content).hexdigest()) != sha1:
        wanted = f"{NAME}, {SIZE} bytes, " if sha1 == SHA1 else ""
        what, hint = f"{path} is another cartridge", f"set {ROM} to the right file, or `environment.options.rom_sha1` for another game"
        raise SenseiError(what, found=f"{path.name}, {len(content)} bytes, SHA-1 {found}", expected=f"{wanted}SHA-1 {sha1}", hint=hint)
    return path, content


def read_state(rom: Path, sha1: str | None) -> bytes:
    """The saved game: the file that the environment variable names, else the one that PyBoy writes beside the cartridge.

    Raises:
        SenseiError: it is another one than that of `sha1`; MachineError: there is none here.
    """
    path = Path(os.environ.get(STATE) or f"{rom}.state")
    content = _read(path, STATE)
    if sha1 is not None and (found := hashlib.sha1(content).hexdigest()) != sha1:
        what = f"{path} is another saved game"
        raise SenseiError(what, found=f"SHA-1 {found}", expected=f"SHA-1 {sha1}", hint=f"set {STATE}, or `environment.options.state_sha1`")
    return content


def _read(path: Path, variable: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        what = {ROM: "no cartridge", STATE: "no saved game to start from"}[variable]
        hint = f"set {variable} to the file; docs/pokemon.md says how to make one"
        raise MachineError(f"pokemon: {what} at {path}", found=error.strerror, hint=hint) from error
