"""People of COCO keypoint annotations (Lin et al., ECCV 2014): a JSON file and a folder of pictures."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.models.data.annotations import AnnotationFile, label, numbers
from vipose.models.data.pack import Person, cut_person
from vipose.models.data.pictures import LeftOut, clipped, find_pictures, picture_or_none
from vipose.runtime.errors import InputError

__all__ = ["read_coco"]


@dataclass(frozen=True)
class _Labelled:
    """A person to cut out, in pixels of its picture."""

    name: str
    box: npt.NDArray[np.float64]
    gt: npt.NDArray[np.float32]
    area: float


def read_coco(
    annotations: Path,
    images: Path,
    *,
    least_joints: int = 1,
    source: str = "coco",
    allow_missing: bool = False,
    left_out: LeftOut | None = None,
) -> Iterator[Person]:
    """People of an annotation file, picture by picture; boxes are clipped to the picture, crowds left out.

    Joints are found by the names that the category gives, so that any order will do; joints that COCO-17 does not have
    are dropped, and those that the category does not name stay unlabelled.

    Args:
        annotations: JSON with ``images``, ``annotations`` and ``categories``.
        images: folder of the pictures.
        least_joints: people with fewer labelled joints are left out.
        source: name kept with every crop.
        allow_missing: go on without pictures that are missing or damaged.
        left_out: counts who is left out.

    Raises:
        InputError: the file is malformed, pictures are missing, or no one is left.
    """
    left_out = LeftOut() if left_out is None else left_out
    file = AnnotationFile.read(annotations)
    people = _by_image(file, least_joints, left_out)
    names = [file.images[image]["file_name"] for image in people]
    paths = find_pictures(images, names, named_by=annotations, allow_missing=allow_missing, left_out=left_out)
    count = 0
    for image, labelled in people.items():
        name = file.images[image]["file_name"]
        if name not in paths:
            continue
        size = _size(file.images[image])
        picture = picture_or_none(paths[name], size, allow_missing=allow_missing, left_out=left_out)
        if picture is None:
            continue
        for person in labelled:
            box = clipped(person.box, picture)
            if box is None:
                left_out.add("boxes outside of their picture", person.name)
                continue
            yield cut_person(picture, box, source, gt=person.gt, area=person.area, picture_id=name)[0]
            count += 1
    if not count:
        raise InputError(
            f"{annotations} gives no one to train on ({left_out}); lower --joints, check --images, or give annotations "
            "of people with joints"
        )


def _by_image(file: AnnotationFile, least_joints: int, left_out: LeftOut) -> dict[Any, list[_Labelled]]:
    """People to cut out by image id."""
    maps = file.joint_maps()
    people: dict[Any, list[_Labelled]] = defaultdict(list)
    for place, row in enumerate(file.annotations):
        if row["category_id"] not in maps:
            left_out.add("things of other categories", label(row, place))
        elif row.get("iscrowd"):
            left_out.add("crowds", label(row, place))
        else:
            gt, box = file.joints(row, place, maps[row["category_id"]]), file.box(row, place)
            if (gt[:, 2] > 0).sum() < least_joints:
                left_out.add(f"people with fewer than {least_joints} labelled joints", label(row, place))
            elif not (box[2:] > box[:2]).all():
                left_out.add("boxes of no size", label(row, place))
            else:
                area = numbers([row.get("area")])
                covered = area[0] if area and area[0] > 0 else float("nan")
                people[row["image_id"]].append(_Labelled(label(row, place), box, gt, covered))
    return people


def _size(image: dict[str, Any]) -> tuple[int, int] | None:
    width, height = image.get("width"), image.get("height")
    return (width, height) if isinstance(width, int) and isinstance(height, int) else None
