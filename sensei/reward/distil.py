"""Distillation of labels into the reward model."""

from pathlib import Path

from sensei.config import RewardModelConfig


def distil(
    labels_path: Path, pairs_path: Path, frames_path: Path, config: RewardModelConfig, seed: int,
    model_path: Path, curves_path: Path, card_path: Path, device: str = "cpu",
) -> dict:
    """Train, choose the epoch by validation loss, write reward.safetensors, curves.csv and card.json; returns the card."""
    raise NotImplementedError
