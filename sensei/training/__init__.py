"""The loop that acts, stores and learns; checkpoints, evaluation, logs and videos."""
