"""Environments side by side, one process each, with shared memory between them."""
