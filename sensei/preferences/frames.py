"""The pictures of a set of pairs: every different one once, from every view, in one compressed file."""

import zipfile
import zlib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from sensei.core.errors import SenseiError
from sensei.core.files import atomic

DAMAGES = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, NotImplementedError, AttributeError)


class Pictures(NamedTuple):
    """Pictures that are written as they come, so that they need not be in memory together."""

    shape: tuple[int, int, int, int]
    each: Iterable[np.ndarray]


class Frames:
    """Frames of a file; each view is read when it is first looked at (an oracle looks at none).

    The first view is what the agent and the reward model see.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self._views: dict[str, np.ndarray] = {}

    @property
    def image(self) -> np.ndarray:
        """The first view, uint8 [F, h, w, 3]."""
        return self.of(None)

    @cached_property
    def flags(self) -> np.ndarray:
        """float32 [F, n]."""
        flags = self._read("flags")
        if flags.dtype != np.float32 or flags.ndim != 2:
            raise self._damaged(f"flags {flags.dtype} {list(flags.shape)}", "float32 [F, n]")
        return flags

    @cached_property
    def views(self) -> tuple[str, ...]:
        """Names of the views, the first one first."""
        return tuple(self._read("views").tolist())

    def of(self, view: str | None) -> np.ndarray:
        """The frames in one view, uint8 [F, h, w, 3]; None: the first view.

        Raises:
            SenseiError: they were not drawn in that view (the message names those there are), or the file is damaged.
        """
        name = view or self.views[0]
        if name not in self.views:
            what = f"the frames {self.path} are not drawn in the view {name!r}"
            raise SenseiError(what, expected=f"one of {', '.join(self.views)}", hint="correct `labels.views`")
        if name not in self._views:
            image = self._read("image" if name == self.views[0] else f"image_{name}")
            if image.dtype != np.uint8 or image.ndim != 4 or image.shape[3] != 3 or len(image) != len(self.flags):
                raise self._damaged(f"image {image.dtype} {list(image.shape)}", f"uint8 [{len(self.flags)}, h, w, 3]")
            self._views[name] = image
        return self._views[name]

    def _read(self, key: str) -> np.ndarray:
        try:
            with np.load(self.path, allow_pickle=False) as file:
                return file[key]
        except DAMAGES as error:
            raise self._damaged(str(error) or type(error).__name__) from error

    def _damaged(self, found: str, expected: str | None = None) -> SenseiError:
        hint = f"delete {self.path} and draw the pairs again"
        return SenseiError(f"the frames {self.path} are damaged", found=found, expected=expected, hint=hint)


def save_frames(path: str | Path, views: Mapping[str, np.ndarray | Pictures], flags: np.ndarray) -> None:
    """Write every view, uint8 [F, h, w, 3], and `flags` float32 [F, n] as a compressed npz, atomically.

    Keys: `image` (the first view), `image_{view}` (the others), `views` (their names) and `flags`. Equal frames give equal bytes.
    """
    with atomic(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as file:
        _write(file, "flags", flags)
        _write(file, "views", np.array(list(views)))
        for number, (name, pictures) in enumerate(views.items()):
            _write(file, f"image_{name}" if number else "image", pictures)


def _write(file: zipfile.ZipFile, key: str, array: np.ndarray | Pictures) -> None:
    with file.open(f"{key}.npy", "w", force_zip64=True) as entry:
        if isinstance(array, Pictures):
            header: dict[str, Any] = {"descr": "|u1", "fortran_order": False, "shape": tuple(map(int, array.shape))}
            np.lib.format.write_array_header_1_0(entry, header)
            for picture in array.each:
                entry.write(np.ascontiguousarray(picture).tobytes())
        else:
            np.lib.format.write_array(entry, array, allow_pickle=False)
