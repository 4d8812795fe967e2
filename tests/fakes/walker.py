"""A game for the Game Boy, ours, of two hundred bytes, that keeps its state where Pokemon Red does: a real program on the real console.

The directions walk (x at 0xD362, y at 0xD361), A enters the next map (0xD35E, from Oak's lab on in the order of the road), B catches
a Rattata of level 3. The shade of the screen is that of x.
"""

import hashlib
from pathlib import Path

ROAD = (40, 0, 12, 1, 13, 50, 51, 47, 2, 54)
TABLE = 0x0140 - len(ROAD)  # of the road; below it nothing of the header is needed


class _Program:
    """Bytes from 0x150 on."""

    def __init__(self):
        self.code = bytearray()

    def put(self, *codes: int) -> "_Program":
        self.code += bytes(codes)
        return self

    def poke(self, address: int, value: int) -> "_Program":
        return self.put(0x3E, value, 0xEA, address & 0xFF, address >> 8)  # ld a, value; ld (address), a

    def when(self, mask: int, *codes: int) -> "_Program":
        return self.put(0x7A, 0xE6, mask, 0x28, len(codes), *codes)  # ld a, d; and mask; jr z, over; codes

    def count(self, mask: int, address: int, up: bool = True) -> "_Program":
        return self.when(mask, 0x21, address & 0xFF, address >> 8, 0x34 if up else 0x35)  # ld hl, address; inc (hl) or dec (hl)

    def newly_pressed(self, select: int, kept: int) -> "_Program":
        """d = buttons that were not down a frame ago; `kept` is where they are remembered."""
        self.put(0x3E, select, 0xE0, 0x00, *(0xF0, 0x00) * 4, 0x2F, 0xE6, 0x0F, 0x47)  # b = buttons down
        self.put(0x21, kept & 0xFF, kept >> 8, 0x7E, 0x2F, 0xA0, 0x57, 0x70)  # d = b and not (kept); (kept) = b
        return self


def cartridge() -> bytes:
    """The cartridge, 32 KiB."""
    program = _Program().put(0xF3)  # di
    for address, value in ((0xD163, 1), (0xD18C, 6), (0xD16D, 20), (0xD18E, 20), (0xD35E, ROAD[0]), (0xD2F7, 0x40), (0xC000, 0)):
        program.poke(address, value)
    program.poke(0xC001, 0).poke(0xC002, 0).put(0x3E, 0x91, 0xE0, 0x40)  # and the screen on
    again = len(program.code)
    program.put(0xF0, 0x44, 0xFE, 0x90, 0x20, 0xFA)  # until the picture is drawn
    program.newly_pressed(0x20, 0xC000)
    program.count(1, 0xD362).count(2, 0xD362, up=False).count(4, 0xD361, up=False).count(8, 0xD361)
    program.newly_pressed(0x10, 0xC001)
    # A: e = ++(0xC002); (0xD35E) = table[e]
    program.when(1, 0x21, 0x02, 0xC0, 0x34, 0x5E, 0x16, 0x00, 0x21, TABLE & 0xFF, TABLE >> 8, 0x19, 0x7E, 0xEA, 0x5E, 0xD3, 0x16, 0x00)
    program.when(2, 0x3E, 2, 0xEA, 0x63, 0xD1, 0x3E, 3, 0xEA, 0xB8, 0xD1, 0x3E, 0x04, 0xEA, 0xF9, 0xD2)  # second in the party; number 19
    program.put(0xFA, 0x62, 0xD3, 0xE0, 0x47)  # the palette is x
    program.put(0xF0, 0x44, 0xFE, 0x90, 0x28, 0xFA)  # until the line is over
    again += 0x150
    program.put(0xC3, again & 0xFF, again >> 8)  # jp again
    content = bytearray(0x8000)
    content[0x100:0x104] = 0x00, 0xC3, 0x50, 0x01  # jp 0x150
    content[TABLE : TABLE + len(ROAD)] = bytes(ROAD)
    content[0x150 : 0x150 + len(program.code)] = program.code
    content[0x14D] = (-sum(content[0x134:0x14D]) - 25) & 0xFF
    return bytes(content)


def write(folder: Path) -> tuple[Path, dict[str, str]]:
    """Write the cartridge; its path and the options of an environment that plays it."""
    path = folder / "walker.gb"
    path.write_bytes(cartridge())
    return path, {"rom_sha1": hashlib.sha1(cartridge()).hexdigest(), "start": "power_on"}
