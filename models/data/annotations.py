"""Annotation files as COCO and PoseTrack18 have them: JSON that is checked as it is read, and joints found by name."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.skeleton import COCO17

__all__ = ["AnnotationFile", "JointMap", "label", "numbers"]

Row = dict[str, Any]
_BODY = COCO17.joints[5:]
_UNSET = object()


@dataclass(frozen=True)
class AnnotationFile:
    """A JSON file of ``images``, ``annotations`` and ``categories``.

    Attributes:
        path: for messages.
        images: rows by id, in the order of the file; each has ``file_name``.
        annotations: rows, each with ``image_id`` of a known image and a ``category_id``.
        categories: rows, each with an ``id``.
    """

    path: Path
    images: dict[Any, Row]
    annotations: list[Row]
    categories: list[Row]

    @classmethod
    def read(cls, path: Path) -> AnnotationFile:
        """Read and check a file.

        Raises:
            InputError: it cannot be read, is not JSON, or lacks something.
        """
        try:
            data = json.loads(path.read_bytes())
        except OSError as error:
            raise InputError(f"{path} cannot be read ({error.strerror}); give an annotation file") from error
        except (ValueError, RecursionError) as error:
            raise InputError(f"{path} is not JSON ({error}); give an annotation file") from error
        images, annotations, categories = (_rows(path, data, name) for name in ("images", "annotations", "categories"))
        by_id = {}
        for place, image in enumerate(images):
            name = _get(path, image, "file_name", f"image number {place}")
            if not isinstance(name, str) or not name:
                raise InputError(f"{path}: image number {place} has a 'file_name' that is no text; mend the file")
            by_id[_id(path, image, "id", f"image number {place}")] = image
        for place, row in enumerate(annotations):
            what = label(row, place)
            if _id(path, row, "image_id", what) not in by_id:
                image = row["image_id"]
                raise InputError(f"{path}: {what} belongs to image {image}, which is not listed; mend the file")
            _id(path, row, "category_id", what)
        for place, row in enumerate(categories):
            _id(path, row, "id", f"category number {place}")
        return cls(path, by_id, annotations, categories)

    def joint_maps(self) -> dict[Any, JointMap]:
        """How the joints of each category that names people's joints become COCO-17, by category id.

        Raises:
            InputError: there is no such category.
        """
        maps = {}
        for row in self.categories:
            names = row.get("keypoints")
            if isinstance(names, list) and set(_BODY) <= {n for n in names if isinstance(n, str)}:
                maps[row["id"]] = JointMap.of([str(n) for n in names])
        if maps:
            return maps
        there = ", ".join(str(row.get("name", row["id"])) for row in self.categories[:3]) or "none"
        raise InputError(
            f"{self.path}: no category ({there}) names the joints of people, shoulders to ankles as COCO does; "
            "give keypoint annotations, not boxes or masks"
        )

    def identity(self, row: Row, place: int, key: str) -> int | str:
        """A number or text that an annotation must have; raises InputError."""
        return _id(self.path, row, key, label(row, place))

    def joints(self, row: Row, place: int, joint_map: JointMap) -> npt.NDArray[np.float32]:
        """COCO-17 labels [17, 3] of an annotation.

        Raises:
            InputError: ``keypoints`` are missing, of the wrong length or not finite.
        """
        what = label(row, place)
        values = _get(self.path, row, "keypoints", what)
        points = numbers(values)
        if points is None:
            raise InputError(f"{self.path}: {what} has 'keypoints' that are not a list of finite numbers; mend it")
        if len(points) != 3 * joint_map.count:
            raise InputError(
                f"{self.path}: {what} has {len(points)} numbers in 'keypoints', its category names "
                f"{joint_map.count} joints ({3 * joint_map.count} numbers x, y, v); mend the file"
            )
        return joint_map.coco(np.reshape(points, (-1, 3)))

    def box(self, row: Row, place: int) -> npt.NDArray[np.float64]:
        """The box x0 y0 x1 y1 of an annotation, of zero size or less where the file says so; raises InputError."""
        what = label(row, place)
        values = numbers(_get(self.path, row, "bbox", what))
        if values is None or len(values) != 4:
            raise InputError(f"{self.path}: {what} has a 'bbox' that is not four numbers x, y, width, height; mend it")
        x, y, w, h = values
        return np.array([x, y, x + w, y + h])


@dataclass(frozen=True)
class JointMap:
    """Where COCO's joints are in another order of joints.

    Attributes:
        count: joints of the other order.
        here, there: index in COCO-17 and in the other order of each joint that both have.
    """

    count: int
    here: tuple[int, ...]
    there: tuple[int, ...]

    @classmethod
    def of(cls, names: Sequence[str]) -> JointMap:
        """By names; joints that COCO does not have are left out, COCO's that are not named stay unlabelled."""
        shared = [(k, names.index(name)) for k, name in enumerate(COCO17.joints) if name in names]
        return cls(len(names), tuple(k for k, _ in shared), tuple(k for _, k in shared))

    def coco(self, points: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        """Labels [count, 3] as COCO-17 labels [17, 3]; unlabelled rows are zero."""
        out = np.zeros((17, 3), np.float32)
        out[list(self.here)] = points[list(self.there)]
        out[out[:, 2] <= 0] = 0
        return out


def label(row: Row, place: int) -> str:
    """How messages name an annotation: by its id, else by its place in the list."""
    return f"annotation {row['id']}" if "id" in row else f"annotation number {place}"


def numbers(values: Any) -> list[float] | None:
    """A list of finite numbers as floats, else None."""
    if not isinstance(values, list):
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        return None
    return [float(v) for v in values]


def _rows(path: Path, data: Any, name: str) -> list[Row]:
    rows = data.get(name) if isinstance(data, dict) else None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path} has no list '{name}'; annotations have 'images', 'annotations' and 'categories'")
    return rows


def _get(path: Path, row: Row, key: str, what: str) -> Any:
    value = row.get(key, _UNSET)
    if value is _UNSET:
        raise InputError(f"{path}: {what} has no '{key}'; mend the file or give keypoint annotations")
    return value


def _id(path: Path, row: Row, key: str, what: str) -> int | str:
    value = _get(path, row, key, what)
    if not isinstance(value, int | str):
        raise InputError(f"{path}: {what} has a '{key}' that is neither a number nor text; mend the file")
    return value
