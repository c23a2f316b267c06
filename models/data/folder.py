"""People of any pictures in a folder: boxes from a detector graph, joints from the teacher alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vipose.models.data.clips import Detect
from vipose.models.data.pack import Person, cut_person
from vipose.models.data.pictures import LeftOut, picture_or_none
from vipose.runtime.errors import InputError
from vipose.runtime.media.images import IMAGE_SUFFIXES, natural_key

__all__ = ["read_folder"]


def read_folder(
    folder: Path,
    detect: Detect,
    *,
    people: int | None = None,
    smallest: float = 56.0,
    score: float = 0.5,
    source: str = "folder",
    allow_missing: bool = False,
    left_out: LeftOut | None = None,
) -> Iterator[Person]:
    """People that a detector sees on the pictures of a folder and of those inside it; no joint labels.

    Args:
        folder: of pictures.
        detect: image -> [N, 5] boxes and scores, best first.
        people: the largest this many of a picture; None: all.
        smallest: least box height in pixels.
        score: least score of a box.
        source: name kept with every crop.
        allow_missing: go on without pictures that are damaged.
        left_out: counts who is left out.

    Raises:
        InputError: the folder holds no pictures, one is damaged, or no one is on them.
    """
    left_out = LeftOut() if left_out is None else left_out
    paths = [p for p in folder.rglob("*") if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not paths:
        raise InputError(f"{folder} holds no pictures ({', '.join(sorted(IMAGE_SUFFIXES))}); give a folder of pictures")
    count = 0
    for path in sorted(paths, key=lambda p: (p.parent, natural_key(p))):
        image = picture_or_none(path, None, allow_missing=allow_missing, left_out=left_out)
        if image is None:
            continue
        name = path.relative_to(folder).as_posix()
        found = np.asarray(detect(image), np.float64).reshape(-1, 5)
        large = (found[:, 4] >= score) & (found[:, 3] - found[:, 1] >= smallest)
        if not large.all():
            left_out.add("small or unsure boxes", name, int((~large).sum()))
        found = found[large]
        order = np.argsort(-(found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1]), kind="stable")[:people]
        for box in found[order, :4]:
            yield cut_person(image, box, source, picture_id=name)[0]
            count += 1
    if not count:
        seen = f"the detector sees no one on the {len(paths)} pictures of {folder} ({left_out})"
        raise InputError(f"{seen}; give other pictures or another --detector")
