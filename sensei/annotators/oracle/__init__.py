"""Annotators that read the game state."""
