"""MPII labels for ``vipose evaluate``: crops by its rule, PCKh by its head boxes, and no AP, since it has no areas."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from vipose.runtime.errors import InputError
from vipose.runtime.evaluate.annotations import Annotations, Row
from vipose.runtime.mpii import MpiiPerson, load_mpii
from vipose.runtime.skeleton import MPII16, Skeleton

__all__ = ["load_mpii_annotations"]

CATEGORY: Row = {"id": 1, "name": "person", "keypoints": list(MPII16.joints)}
NO_AREAS = "MPII has no areas of people, so there is no AP (OKS)"


def load_mpii_annotations(path: Path, skeleton: Skeleton, heads: Path | None = None) -> Annotations:
    """Labelled people of an MPII file, picture by picture.

    Pictures are numbered from 0 in the order of the file, people from 0 in the order in which they are scored. People
    without a labelled joint, or without centre and scale, cannot be cut out and scored; a note counts them.

    Args:
        path: see :mod:`vipose.runtime.mpii`.
        skeleton: of the graph.
        heads: head boxes where ``path`` has none.

    Raises:
        InputError: the graph has other joints, or the files are not as they should be.
    """
    if skeleton.name != MPII16.name:
        raise InputError(
            f"'{path}' labels the 16 joints of MPII, the graph finds {skeleton.name}; give a graph of skeleton mpii16 "
            "with --mode, or COCO annotations"
        )
    people = load_mpii(path, heads)
    fit = [person for person in people if person.box is not None and (person.joints[:, 2] > 0).any()]
    if not fit:
        raise InputError(f"'{path}' labels no joint of anybody; give mpii_val.json, or the labels with --heads")
    names = list(dict.fromkeys(person.image for person in fit))
    places = {name: place for place, name in enumerate(names)}
    rows = tuple(_row(number, places[person.image], person) for number, person in enumerate(fit))
    images = tuple({"id": place, "file_name": name} for name, place in places.items())
    notes = _notes(fit, len(people) - len(fit), heads is not None)
    return Annotations(path, images, rows, CATEGORY, notes, protocol="mpii")


def _row(number: int, image: int, person: MpiiPerson) -> Row:
    assert person.box is not None  # those without were left out
    row: dict[str, Any] = {
        "id": number, "image_id": image, "category_id": CATEGORY["id"], "iscrowd": 0, "bbox": _sides(person.box),
        "keypoints": person.joints.ravel().tolist(), "num_keypoints": int((person.joints[:, 2] > 0).sum()),
    }  # fmt: skip
    return row if person.head is None else {**row, "head_box": _sides(person.head)}


def _sides(box: np.ndarray[Any, np.dtype[np.float64]]) -> list[float]:
    """x0 y0 x1 y1 to x, y, w, h."""
    return [*box[:2].tolist(), *(box[2:] - box[:2]).tolist()]


def _notes(fit: list[MpiiPerson], left_out: int, asked: bool) -> tuple[str, ...]:
    notes = [NO_AREAS]
    without = sum(person.head is None for person in fit)
    if without:
        do = "" if asked else "; --heads mpii_gt_val.mat (or gt_valid.mat) brings those of the validation split"
        notes.append(f"{without} of {len(fit)} people have no head box and do not enter PCKh{do}")
    if left_out:
        notes.append(f"{left_out} people without labelled joints, or without centre and scale, are not scored")
    return tuple(notes)
