"""Pokemon Red on PyBoy: the user brings the cartridge."""
