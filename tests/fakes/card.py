"""Kernels for a graphics card where there is none: Triton's interpreter runs them on the CPU."""

import pytest
import torch

from sensei.kernels import choice

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def interpret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Outside `pytorch_only` every tensor counts as one on a card, and nothing is computed by our kernels in C."""
    if DEVICE == "cuda":
        return
    card = pytest.importorskip("sensei.kernels.card")
    monkeypatch.setattr(choice, "fits_card", lambda tensor: tensor.dtype in choice.ON_CARD)
    monkeypatch.setattr(choice, "in_triton", lambda: card)
    monkeypatch.setattr(choice, "ours", lambda *_: False)
