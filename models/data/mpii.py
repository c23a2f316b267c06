"""People of MPII Human Pose (Andriluka et al., CVPR 2014): JSON lists or the official release, and a folder of pictures.

The stored box is the square of MPII's crop rule (side 200 x scale, 15 x scale below the centre): padded by 1.25, as
every crop is, it is the published one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from vipose.models.data.joints import joints_box
from vipose.models.data.pack import SQUARE, Person, cut_person
from vipose.models.data.people import BODY_AREA
from vipose.models.data.pictures import LeftOut, clipped, find_pictures, picture_or_none
from vipose.runtime.errors import InputError
from vipose.runtime.mpii import MpiiPerson, Subset, load_mpii

__all__ = ["read_mpii"]

MARGIN = 0.15
"""Share of the extent of the joints that a person reaches beyond them, as PoseTrack draws its boxes."""


def read_mpii(
    annotations: Path,
    images: Path,
    *,
    subset: Subset = "all",
    least_joints: int = 1,
    source: str = "mpii",
    allow_missing: bool = False,
    left_out: LeftOut | None = None,
) -> Iterator[Person]:
    """People of an annotation file with joints of MPII-16, picture by picture.

    MPII has no areas of people. Searches that validate on them need some: 0.53 of the box around the labelled joints,
    grown by 15 % on every side, which is good for ranking networks and not for figures to publish.

    Args:
        annotations: ``mpii_train.json`` and the like, or ``mpii_human_pose_v1_u12_1.mat``.
        images: folder of the pictures.
        subset: of the official release: ``all``, or those whom it calls ``single``.
        least_joints: people with fewer labelled joints are left out.
        source: name kept with every crop.
        allow_missing: go on without pictures that are missing or damaged.
        left_out: counts who is left out.

    Raises:
        InputError: the file is malformed, pictures are missing, or no one is left.
    """
    left_out = LeftOut() if left_out is None else left_out
    people = _by_picture(load_mpii(annotations, subset=subset), least_joints, left_out)
    paths = find_pictures(images, people, named_by=annotations, allow_missing=allow_missing, left_out=left_out)
    count = 0
    for name, labelled in people.items():
        if name not in paths:
            continue
        # The labels were made on the pictures as they are stored.
        picture = picture_or_none(paths[name], None, upright=False, allow_missing=allow_missing, left_out=left_out)
        if picture is None:
            continue
        for person in labelled:
            assert person.box is not None  # those without were left out
            if clipped(person.box, picture) is None:
                left_out.add("boxes outside of their picture", f"a person of {name}")
                continue
            area = _area(person.joints)
            yield cut_person(
                picture, person.box, source, gt=person.joints, area=area, picture_id=name, largest=SQUARE
            )[0]
            count += 1
    if not count:
        raise InputError(
            f"{annotations} gives no one to train on ({left_out}); lower --joints, check --images, or give MPII's labels"
        )


def _by_picture(people: list[MpiiPerson], least_joints: int, left_out: LeftOut) -> dict[str, list[MpiiPerson]]:
    """People to cut out by name of their picture."""
    found: dict[str, list[MpiiPerson]] = defaultdict(list)
    for number, person in enumerate(people):
        case = f"person {number} on {person.image}"
        if (person.joints[:, 2] > 0).sum() < least_joints:
            left_out.add(f"people with fewer than {least_joints} labelled joints", case)
        elif person.box is None:
            left_out.add("people without centre or scale", case)
        else:
            found[person.image].append(person)
    return found


def _area(joints: npt.NDArray[np.float64]) -> float:
    """Square pixels that a person covers, about; NaN where the joints span none."""
    box = joints_box(joints, MARGIN)
    area = BODY_AREA * float((box[2:] - box[:2]).prod())
    return area if area > 0 else float("nan")
