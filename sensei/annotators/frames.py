"""The pictures of a set of pairs: every different one once, in one compressed file."""

import zipfile
import zlib
from functools import cached_property
from pathlib import Path

import numpy as np

from sensei.errors import SenseiError
from sensei.io import atomic

VIEW = "image_"  # prefix of the pictures of a view, where there are several
DAMAGE = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, AttributeError)


class Frames:
    """Frames of a file, read when the first one is looked at (an oracle looks at none)."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._views: dict[str, np.ndarray] = {}

    @cached_property
    def _arrays(self) -> tuple[np.ndarray, np.ndarray]:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                image, flags = file["image"], file["flags"]
        except DAMAGE as error:
            raise self._damaged(str(error) or type(error).__name__) from error
        typed = image.dtype == np.uint8 and flags.dtype == np.float32
        if not typed or image.ndim != 4 or image.shape[3] != 3 or flags.ndim != 2 or len(flags) != len(image):
            raise self._damaged(f"image {image.dtype} {list(image.shape)} and flags {flags.dtype} {list(flags.shape)}")
        return image, flags

    def of(self, view: str) -> np.ndarray:
        """The pictures in one view, uint8 [F, h, w, 3].

        Raises:
            SenseiError: the frames were not drawn in that view.
        """
        if view not in self._views:
            self._views[view] = self._read(view)
        return self._views[view]

    def _read(self, view: str) -> np.ndarray:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                known = [name.removeprefix(VIEW) for name in file.files if name.startswith(VIEW)]
                if view in known:
                    return file[f"{VIEW}{view}"]
        except DAMAGE as error:
            raise self._damaged(str(error) or type(error).__name__) from error
        raise SenseiError(
            f"the frames {self.path} are not drawn in the view {view!r}",
            expected=f"one of {', '.join(known)}" if known else "none, there is a single view",
            hint="correct `labels.views`",
        )

    @property
    def image(self) -> np.ndarray:
        """uint8 [F, h, w, 3]."""
        return self._arrays[0]

    @property
    def flags(self) -> np.ndarray:
        """float32 [F, n]."""
        return self._arrays[1]

    def _damaged(self, found: str) -> SenseiError:
        expected = "`image` uint8 [F, h, w, 3] and `flags` float32 [F, n]"
        return SenseiError(
            f"the frames {self.path} are damaged", found=found, expected=expected, hint=f"delete {self.path} and draw the pairs again"
        )


def save_frames(path: str | Path, image: np.ndarray, flags: np.ndarray) -> None:
    """Write `image` uint8 [F, h, w, 3] and `flags` float32 [F, n], compressed and atomically."""
    with atomic(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, image=image, flags=flags)
