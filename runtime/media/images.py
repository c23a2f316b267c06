"""Single pictures and folders of pictures, in the order that people count."""

from __future__ import annotations

import re
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.media.base import Rotate, Selection, Source
from vipose.runtime.media.decode import reason
from vipose.runtime.media.pixels import Orientation
from vipose.runtime.types import Frame, SourceInfo

__all__ = ["IMAGE_RATE", "IMAGE_SUFFIXES", "ImagesSource", "list_images", "natural_key", "read_image"]

IMAGE_RATE = 25.0
"""Pictures in a folder have no clock: they are taken to follow each other at this many a second."""

IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm", ".pgm"))
_NAMED = 3  # unreadable pictures that a warning names


def natural_key(path: Path) -> tuple[tuple[int, str | int], ...]:
    """Sort key under which ``img2`` comes before ``img10``.

    Example:
        >>> [p.name for p in sorted(map(Path, ["img10.png", "img2.png"]), key=natural_key)]
        ['img2.png', 'img10.png']
    """
    parts = re.split(r"([0-9]+)", path.name.casefold())
    return (*((0, int(p)) if p.isdecimal() else (1, p) for p in parts if p), (2, path.name))


def list_images(folder: Path) -> list[Path]:
    """Pictures directly in a folder, hidden ones left out, in natural order."""
    found = (p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith("."))
    return sorted((p for p in found if p.is_file()), key=natural_key)


def read_image(path: Path, rotate: Rotate = "auto") -> npt.NDArray[np.uint8]:
    """Read a picture as [H, W, 3] uint8 RGB, upright by its EXIF tag or turned by ``rotate``.

    Raises:
        InputError: it cannot be read or is no picture.
    """
    flags = cv2.IMREAD_COLOR if rotate == "auto" else cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        data = np.fromfile(path, np.uint8)  # cv2.imread fails on some paths that are not ASCII
        image = cv2.imdecode(data, flags) if data.size else None
    except (OSError, cv2.error) as error:
        raise InputError(f"cannot read {path} ({reason(error)}); check that it is a picture and is whole") from error
    if image is None:
        raise InputError(f"cannot read {path} (no picture that can be decoded); check that it is whole")
    upright = Orientation(0 if rotate == "auto" else rotate).apply(
        cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8)
    )
    upright.flags.writeable = False
    return upright


class ImagesSource(Source):
    """One picture, or those of a folder.

    ``Frame.index`` is the place of the picture in ``paths`` also where one before it cannot be read; ``time_s`` is
    that place at :data:`IMAGE_RATE`. Pictures keep their own sizes; ``info.size`` is that of the first.

    Args:
        path: a picture or a folder.
        name: what messages and results call it; the path as given where None.
        rotate: ``auto`` follows EXIF, a number is used instead of it.
        selection: which pictures.

    Attributes:
        paths: the pictures in order, before the selection.

    Raises:
        InputError: there is no picture, or none that can be read.
    """

    def __init__(
        self,
        path: Path,
        *,
        name: str | None = None,
        rotate: Rotate = "auto",
        selection: Selection | None = None,
    ) -> None:
        super().__init__()
        name = name or str(path)
        self._selection = selection or Selection()
        self._rotate = rotate
        self._unreadable: list[str] = []
        self._place = 0
        try:
            self.paths = tuple(list_images(path)) if path.is_dir() else (path,)
        except OSError as error:
            raise InputError(f"cannot read the folder {name} ({reason(error)}); check its permissions") from error
        self.info = SourceInfo(name, "images", (0, 0), frames=len(self.paths))
        self._first = self._next()
        if self._first is None:
            if self._unreadable:
                raise InputError(f"no picture of {name} can be read; check that the files are whole")
            raise InputError(f"{name} has no picture in the time or steps asked for; choose others")
        height, width = self._first.image.shape[:2]
        turned = 0 if rotate == "auto" else rotate
        self.info = SourceInfo(name, "images", (width, height), frames=len(self.paths), rotation=turned)

    def _step(self) -> Frame | None:
        if self._first is not None:
            first, self._first = self._first, None
            return first
        return self._next()

    def _next(self) -> Frame | None:
        while self._place < len(self.paths) and not self._stop.is_set():
            index, self._place = self._place, self._place + 1
            time_s = index / IMAGE_RATE
            if self._selection.before(time_s):
                continue
            if self._selection.after(time_s):
                return None
            if not self._selection.takes(index):
                self.decoded += 1
                self.skipped += 1
                continue
            try:
                image = read_image(self.paths[index], self._rotate)
            except InputError:
                self._unreadable.append(self.paths[index].name)
                continue
            self.decoded += 1
            return Frame(index, time_s, image, self.info.name)
        return None

    @property
    def warnings(self) -> list[str]:
        if not self._unreadable:
            return []
        names = ", ".join(self._unreadable[:_NAMED]) + (", …" if len(self._unreadable) > _NAMED else "")
        return [f"{len(self._unreadable)} pictures could not be read: {names}"]

    def _release(self) -> None:
        self._first = None
