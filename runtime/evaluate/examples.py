"""Labelled people on single pictures and the poses that were predicted: ranked by OKS, and as tiles of a sheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.evaluate.annotations import Annotations, Row, truth_arrays
from vipose.runtime.evaluate.sheet import Tile, cut
from vipose.runtime.oks import oks_matrix
from vipose.runtime.skeleton import Skeleton

__all__ = ["MIN_JOINTS", "Example", "example_tile", "has_examples", "rank_people"]

MIN_JOINTS = 5
"""People with fewer labelled joints are left out: their OKS says little and there is little to see."""


@dataclass(frozen=True)
class Example:
    """One labelled person and the pose that was predicted.

    Attributes:
        image_id: of the picture.
        name: of the picture, as in the annotations.
        source: of the picture; empty where images have none.
        box: [4] labelled box x0 y0 x1 y1, picture pixels, as labelled (not clipped).
        truth: [K, 3] x, y, v; joints with v = 0 have no label.
        pose: [K, 3] x, y, score, picture pixels; None for somebody who was not found (no pose pairs with the labels).
        oks: with the labelled area; 0 for somebody who was not found.
    """

    image_id: int
    name: str
    source: str
    box: npt.NDArray[np.float64]
    truth: npt.NDArray[np.float64]
    pose: npt.NDArray[np.float64] | None
    oks: float


def has_examples(annotations: Annotations) -> bool:
    """Whether anybody has enough labelled joints to be shown."""
    return any(_shown(row) for row in annotations.people)


def rank_people(
    annotations: Annotations, poses: Mapping[int, npt.NDArray[np.float64]], skeleton: Skeleton
) -> list[Example]:
    """Everybody with :data:`MIN_JOINTS` labelled joints or more, worst OKS first; ties keep the order of the labels.

    Args:
        annotations: COCO labels; people need an ``area``.
        poses: annotation id -> [K, 3], see :class:`vipose.runtime.evaluate.images.ImagesReport`.
        skeleton: of both.
    """
    images = {row["id"]: row for row in annotations.images}
    people = [
        _example(row, images[row["image_id"]], poses[row["id"]], skeleton) for row in annotations.people if _shown(row)
    ]
    return sorted(people, key=lambda person: person.oks)


def example_tile(person: Example, picture: npt.NDArray[np.uint8] | None) -> Tile:
    """How somebody is shown: the labels left, the pose right.

    Args:
        person: one of :func:`rank_people`.
        picture: theirs, [H, W, 3] uint8 RGB; None for skeletons on black.
    """
    truth = person.truth.copy()
    truth[:, 2] = np.where(truth[:, 2] > 0, 1.0, np.nan)  # a label is sure; joints without one are not drawn
    # Letters that the font does not have would be question marks: the id says more.
    name = person.name if person.name.isascii() and person.name.isprintable() else f"image {person.image_id}"
    return Tile(
        person.box, truth, person.pose, person.oks, name, f", {person.source}" if person.source else "",
        None if picture is None else cut(picture, person.box),
    )  # fmt: skip


def _shown(row: Row) -> bool:
    return bool(row["num_keypoints"] >= MIN_JOINTS and not row["iscrowd"])


def _example(row: Row, image: Row, pose: npt.NDArray[np.float64], skeleton: Skeleton) -> Example:
    truth, boxes = truth_arrays([row], len(skeleton))
    found = bool(np.isfinite(pose).all())
    oks = float(oks_matrix(pose[None], truth, np.array([row["area"]]), skeleton.variances())[0, 0]) if found else 0.0
    x, y, w, h = boxes[0]
    return Example(
        row["image_id"], str(image["file_name"]), str(image.get("source", "")), np.array([x, y, x + w, y + h]),
        truth[0], pose if found else None, oks,
    )  # fmt: skip
