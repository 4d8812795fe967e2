"""A distilled reward model from its file."""

from pathlib import Path

from sensei.core.errors import SenseiError
from sensei.core.verification import verified
from sensei.reward.scorer import RewardScorer
from sensei.study.layout import RewardFiles


def load_reward(source: str | Path, device: str = "cpu") -> RewardScorer:
    """Load a reward model: `scores = load_reward(path)(images, flags)`, float32 [N].

    The pictures are those that annotators saw, uint8 [N, H, W, 3] of the scorer's `image_shape`; flags are float32 [N, flags_size]. A
    reward has no natural zero and is only to be compared with others of the same model.

    Args:
        source: a file `reward.safetensors`, or the folder that holds it.

    Raises:
        SenseiError: there is none, or it is damaged; when called, pictures or flags are those of another environment.
    """
    path = Path(source)
    if path.is_dir():
        path = RewardFiles(path).model
        if not path.exists():
            raise SenseiError(f"there is no reward model in {source}", hint="name the file reward.safetensors, or the folder that holds it")
    if path.is_file():
        verified(path, recorded=False)  # the weights have no checksum of their own
    return RewardScorer.load(path, device)
