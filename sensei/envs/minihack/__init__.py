"""MiniHack: KeyRoom and KeyChest behind the contract."""
