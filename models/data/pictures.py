"""Pictures that annotations name: found in a folder, read upright or as annotated, counted where they are left out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.media.images import read_image

__all__ = ["LeftOut", "clipped", "find_pictures", "picture_or_none"]


@dataclass
class LeftOut:
    """What a reader leaves out: how often for each reason, and the first case."""

    counts: dict[str, int] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, reason: str, case: str, count: int = 1) -> None:
        """Count a case; ``reason`` is a noun in the plural (``crowds``)."""
        self.counts[reason] = self.counts.get(reason, 0) + count
        self.first.setdefault(reason, case)

    def __str__(self) -> str:
        if not self.counts:
            return "nothing left out"
        parts = (f"{count} {reason} (first: {self.first[reason]})" for reason, count in self.counts.items())
        return "left out: " + ", ".join(parts)


def clipped(box: npt.NDArray[np.floating], image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64] | None:
    """The part of a box x0 y0 x1 y1 that lies on a picture [H, W, 3]; None where that is empty."""
    high = np.array([image.shape[1] - 1, image.shape[0] - 1] * 2, np.float64)
    inside = np.asarray(box, np.float64).clip(0, high)
    return inside if (inside[2:] > inside[:2]).all() else None


def find_pictures(
    folder: Path, names: Iterable[str], *, named_by: Path, allow_missing: bool, left_out: LeftOut
) -> dict[str, Path]:
    """Files of named pictures.

    Leading folders of all names are dropped where that finds more of them: PoseTrack18 writes ``images/val/…``, and
    ``--images`` may be any of those folders.

    Args:
        folder: where to look.
        names: as annotations have them.
        named_by: annotation file or folder, for the message.
        allow_missing: leave out what is not there instead of raising.
        left_out: counts it.

    Raises:
        InputError: the folder or a picture is not there.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the one that holds the pictures with --images")
    wanted = list(dict.fromkeys(names))
    best: dict[str, Path] = {}
    for drop in range(max((len(Path(name).parts) for name in wanted), default=0)):
        paths = {name: folder.joinpath(*Path(name).parts[min(drop, len(Path(name).parts) - 1):]) for name in wanted}
        found = {name: path for name, path in paths.items() if path.is_file()}
        best = found if len(found) > len(best) else best
        if len(best) == len(wanted):
            return best
    missing = [name for name in wanted if name not in best]
    if missing and not allow_missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} pictures that {named_by} names are not in {folder}, first {missing[0]}; "
            "check --images, or go on without them with --allow-missing"
        )
    if missing:
        left_out.add("missing pictures", missing[0], len(missing))
    return best


def picture_or_none(
    path: Path, size: tuple[int, int] | None, *, upright: bool = True, allow_missing: bool, left_out: LeftOut
) -> npt.NDArray[np.uint8] | None:
    """An annotated picture, [H, W, 3] uint8 RGB; None where it cannot be decoded and that is allowed.

    Args:
        path: a file that is there.
        size: width, height that the annotations say; a picture that has them only before it is turned upright by its
            EXIF tag is taken that way. Where None: as ``upright`` says.
        upright: turn it by its EXIF tag; False for labels that were made on the pixels as they are stored.
        allow_missing, left_out: as for :func:`find_pictures`.

    Raises:
        InputError: it is damaged or of another size.
    """
    try:
        image = read_image(path, "auto" if upright else 0)
    except InputError as error:
        if not allow_missing:
            raise InputError(f"{error}, or go on without it with --allow-missing") from error
        left_out.add("damaged pictures", str(path))
        return None
    if size is None or (image.shape[1], image.shape[0]) == size:
        return image
    stored = read_image(path, rotate=0)
    if (stored.shape[1], stored.shape[0]) != size:
        raise InputError(
            f"{path} is {image.shape[1]}x{image.shape[0]}, its annotations say {size[0]}x{size[1]}: labels would lie "
            "wrong; give the pictures that were annotated with --images"
        )
    return stored
