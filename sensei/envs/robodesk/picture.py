"""How large the desk's pictures are, and how the agent's is made of a larger one."""

import numpy as np
from PIL import Image

SIDE = 224  # of the annotators' and the reward model's picture
FAST_OVERSAMPLING = 2  # the agent's picture is drawn this much larger and averaged where there is no multisampling


def shrink(picture: np.ndarray, side: int) -> np.ndarray:
    """`picture` with antialiasing at `side` x `side`, uint8 [side, side, 3]."""
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.LANCZOS))


def average(picture: np.ndarray, side: int) -> np.ndarray:
    """`picture` with every `side` x `side` pixels averaged into one."""
    return np.asarray(Image.fromarray(picture).reduce(side))
