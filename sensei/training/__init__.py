"""Loops that act, store and learn; checkpoints, evaluation, logs and videos."""
