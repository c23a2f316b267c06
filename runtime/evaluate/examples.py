"""Which people show how good and how bad poses are: everybody is ranked by OKS, and evenly spaced ranks are taken.

Nobody is picked by hand: the same labels and poses always give the same people.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from vipose.runtime.evaluate.annotations import Annotations, Row, truth_arrays
from vipose.runtime.oks import oks_matrix
from vipose.runtime.skeleton import Skeleton

__all__ = ["MIN_JOINTS", "PEOPLE_A_ROW", "Example", "ExampleRow", "choose_rows", "has_examples", "rank_people"]

MIN_JOINTS = 5
"""People with fewer labelled joints are left out: their OKS says little and there is little to see."""
PEOPLE_A_ROW = 8
_TENTHS = (
    ("Worst tenth", 0.0, 0.1), ("Around the 25 % quantile", 0.2, 0.3), ("Around the median", 0.45, 0.55),
    ("Around the 75 % quantile", 0.7, 0.8), ("Best tenth", 0.9, 1.0),
)  # fmt: skip
_FIFTHS = (
    ("Worst fifth", 0.0, 0.2), ("Second fifth", 0.2, 0.4), ("Middle fifth", 0.4, 0.6), ("Fourth fifth", 0.6, 0.8),
    ("Best fifth", 0.8, 1.0),
)  # fmt: skip


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


@dataclass(frozen=True)
class ExampleRow:
    """People of one stretch of the ranks, worst first; ``title`` names the stretch, the ranks and their OKS."""

    title: str
    people: tuple[Example, ...]


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


def choose_rows(people: Sequence[Example]) -> list[ExampleRow]:
    """Five rows of at most :data:`PEOPLE_A_ROW` people at evenly spaced ranks, from the worst to the best.

    Rows are tenths of all people about the quantiles. Where a tenth would not fill a row they are fifths; nobody is
    shown twice, and rows without anybody are left out.

    Args:
        people: ranked, worst first.
    """
    count = len(people)
    bands = _TENTHS if count >= 10 * PEOPLE_A_ROW else _FIFTHS
    rows = []
    for title, low, high in bands:
        first, end = round(low * count), round(high * count)
        if first == end:
            continue
        band = people[first:end]
        places = np.linspace(0, len(band) - 1, min(PEOPLE_A_ROW, len(band))).round().astype(int)
        rows.append(ExampleRow(_title(title, first, band, count), tuple(band[place] for place in places)))
    return rows


def _title(title: str, first: int, band: Sequence[Example], count: int) -> str:
    if len(band) == 1:
        return f"{title}: person {first + 1} of {count} by OKS, {band[0].oks:.2f}"
    ranks = f"people {first + 1} to {first + len(band)} of {count} by OKS"
    return f"{title}: {ranks}, {band[0].oks:.2f} to {band[-1].oks:.2f}"


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
