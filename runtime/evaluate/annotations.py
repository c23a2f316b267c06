"""COCO keypoint annotations, checked once on the way in so that nothing later meets a surprise."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, NoReturn

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.skeleton import Skeleton

__all__ = ["Annotations", "load_annotations", "load_picture", "truth_arrays"]

Row = dict[str, Any]
_ELSEWHERE = frozenset({"head_bottom", "head_top"})


@dataclass(frozen=True)
class Annotations:
    """One annotation file.

    Attributes:
        path: for messages.
        images: rows as in the file, in its order.
        people: annotations of the person category, each with ``id``, ``image_id``, ``iscrowd``, ``bbox`` (x, y, w, h),
            ``area``, ``keypoints`` (3 K numbers) and ``num_keypoints`` (labelled joints, v > 0).
        category: the person category's row.
        notes: what the user should know.
        protocol: ``coco``: boxes are clipped to the picture and AP is scored; ``mpii``: neither, people have no ``area``.
    """

    path: Path
    images: tuple[Row, ...]
    people: tuple[Row, ...]
    category: Row
    notes: tuple[str, ...] = ()
    protocol: Literal["coco", "mpii"] = "coco"

    def first(self, count: int | None) -> Annotations:
        """The same with the first ``count`` pictures only (None: all)."""
        if count is None or count >= len(self.images):
            return self
        return self.only(self.images[:count])

    def only(self, images: tuple[Row, ...]) -> Annotations:
        """The same with these pictures only, and the people on them."""
        kept = {image["id"] for image in images}
        people = tuple(row for row in self.people if row["image_id"] in kept)
        return replace(self, images=images, people=people)

    def as_coco(self) -> dict[str, Any]:
        """As a COCO dataset."""
        return {"images": list(self.images), "annotations": list(self.people), "categories": [self.category]}

    def by_image(self) -> dict[int, list[Row]]:
        """People of each picture; a picture without any has an empty list."""
        groups: dict[int, list[Row]] = {image["id"]: [] for image in self.images}
        for row in self.people:
            groups[row["image_id"]].append(row)
        return groups

    def find_pictures(self, folder: Path) -> dict[int, Path]:
        """Image id -> file; raises InputError with the count and first names of those that are not there."""
        if not folder.is_dir():
            raise InputError(f"'{folder}' is not a folder; give the one that holds the pictures with --images")
        paths = {image["id"]: folder / image["file_name"] for image in self.images}
        missing = [path for path in paths.values() if not path.is_file()]
        if missing:
            names = ", ".join(path.name for path in missing[:3]) + (", …" if len(missing) > 3 else "")
            raise InputError(
                f"{len(missing)} of {len(paths)} pictures named in '{self.path}' are not in '{folder}' ({names}); "
                "check --images"
            )
        return paths


def load_annotations(path: Path, skeleton: Skeleton) -> Annotations:
    """Read and check a COCO keypoint file.

    ``area``, ``iscrowd``, ``id`` and ``num_keypoints`` are filled in where they are absent (w x h, 0, running number,
    joints with v > 0). Labels of PoseTrack's head bottom and head top, which lie where COCO has the eyes, are taken out.

    Args:
        path: JSON with ``images``, ``annotations`` and ``categories``.
        skeleton: the one that is evaluated.

    Raises:
        InputError: not there, no JSON, not COCO, or labelled with another number of joints; names file and row.
    """
    data = _parse(path)
    images = _images(path, data["images"])
    category = _category(path, data)
    known = {image["id"] for image in images}
    rows = [row for row in data["annotations"] if _object(path, row, "annotation").get("category_id") == category["id"]]
    foreign, notes = _joint_names(category, skeleton)
    people = tuple(_person(path, number, row, len(skeleton), known, foreign) for number, row in enumerate(rows, start=1))
    if not any(row["num_keypoints"] and not row["iscrowd"] for row in people):
        raise InputError(f"'{path}' labels no joint of any person; give a COCO keypoint file with --annotations")
    return Annotations(path, images, people, category, notes)


def load_picture(path: Path) -> npt.NDArray[np.uint8]:
    """A picture as [H, W, 3] uint8 RGB.

    An EXIF orientation is ignored: COCO's coordinates, widths and heights belong to the pixels as they are stored.
    Bytes are read by numpy, since OpenCV cannot open every path on every system.

    Raises:
        InputError: unreadable or no picture.
    """
    import cv2

    try:
        raw = np.fromfile(path, np.uint8)
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check the file") from error
    flags = cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(raw, flags) if raw.size else None
    if image is None:
        raise InputError(f"'{path}' is not a picture that can be decoded; replace it or take it out of the annotations")
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)


def truth_arrays(rows: Sequence[Row], joints: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Keypoints [N, K, 3] and boxes [N, 4] (x, y, w, h) of checked annotation rows."""
    keypoints = np.array([row["keypoints"] for row in rows], np.float64).reshape(-1, joints, 3)
    return keypoints, np.array([row["bbox"] for row in rows], np.float64).reshape(-1, 4)


def _parse(path: Path) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"'{path}' cannot be read ({error.strerror}); check --annotations") from error
    except ValueError as error:  # no JSON, or no UTF-8
        raise InputError(f"'{path}' is not JSON ({error}); give a COCO keypoint file with --annotations") from error
    for key in ("images", "annotations", "categories"):
        if not isinstance(data, dict) or not isinstance(data.get(key), list):
            raise InputError(f"'{path}' has no list '{key}'; give a COCO keypoint file with --annotations")
    return dict(data)


def _images(path: Path, rows: Sequence[Any]) -> tuple[Row, ...]:
    if not rows:
        raise InputError(f"'{path}' lists no picture; give a COCO keypoint file with --annotations")
    seen: set[int] = set()
    for number, row in enumerate(rows, start=1):
        name, key = _object(path, row, "image").get("file_name"), row.get("id")
        if not isinstance(key, int) or not isinstance(name, str) or not name:
            raise InputError(f"'{path}': image {number} needs an integer 'id' and a 'file_name'; mend the file")
        if key in seen:
            raise InputError(f"'{path}': two images have the id {key}; mend the file")
        seen.add(key)
    return tuple(dict(row) for row in rows)


def _category(path: Path, data: Mapping[str, Any]) -> Row:
    """The category called person; else the only one."""
    rows = [_object(path, row, "category") for row in data["categories"]]
    people = [row for row in rows if row.get("name") == "person"] or (rows if len(rows) == 1 else [])
    if not people or "id" not in people[0]:
        raise InputError(f"'{path}' has no category 'person' with an id; mend its 'categories'")
    return dict(people[0])


def _joint_names(category: Row, skeleton: Skeleton) -> tuple[tuple[int, ...], tuple[str, ...]]:
    """Joints that mean another place than the skeleton's, and what to say about names that differ."""
    names = category.get("keypoints")
    if not isinstance(names, list) or len(names) != len(skeleton):
        return (), ()
    said = [str(name).strip().lower().replace(" ", "_").replace("-", "_") for name in names]
    different = [k for k, name in enumerate(said) if name != skeleton.joints[k]]
    foreign = tuple(k for k in different if said[k] in _ELSEWHERE)
    if foreign:
        return foreign, (f"not scored, since the graph has no such joints: {', '.join(said[k] for k in foreign)}",)
    if different:
        first = different[0]
        note = (
            f"joints are scored by position; {len(different)} of {len(said)} have other names than the graph's "
            f"(first: '{said[first]}' for '{skeleton.joints[first]}')"
        )
        return (), (note,)
    return (), ()


def _object(path: Path, row: Any, what: str) -> Row:
    if not isinstance(row, dict):
        raise InputError(f"'{path}': {what} {row!r:.40} is not an object; mend the file")
    return row


def _person(path: Path, number: int, row: Row, joints: int, images: set[int], foreign: Sequence[int]) -> Row:
    name = row.get("id", number)

    def refuse(why: str) -> NoReturn:
        raise InputError(f"'{path}': annotation {name} {why}; mend the file")

    if row.get("image_id") not in images:
        refuse(f"belongs to image {row.get('image_id')!r}, which is not listed")
    box = _numbers(row.get("bbox"))
    if box is None or len(box) != 4:
        refuse("needs 'bbox' with four numbers (x, y, width, height)")
    crowd = int(bool(row.get("iscrowd", 0)))
    keypoints = _numbers(row.get("keypoints", [0] * 3 * joints))
    if keypoints is None:
        refuse("has 'keypoints' that are not finite numbers")
    if len(keypoints) != 3 * joints:
        if not (crowd and not keypoints):
            raise InputError(
                f"'{path}': annotation {name} has {len(keypoints) / 3:g} joints, the graph has {joints}: labels of "
                "another skeleton; give a graph with these joints with --mode, or labels that fit the graph"
            )
        keypoints = [0.0] * 3 * joints
    area = _numbers([row.get("area", box[2] * box[3])])
    if area is None or area[0] < 0:
        refuse("has an 'area' that is not a number of 0 or more")
    head = row.get("head_box")
    if head is not None and len(_numbers(head) or ()) != 4:
        refuse("has a 'head_box' that is not four numbers (x, y, width, height)")
    for k in foreign:
        keypoints[3 * k: 3 * k + 3] = [0.0] * 3
    labelled = sum(v > 0 for v in keypoints[2::3])
    return {
        **row, "id": name, "iscrowd": crowd, "bbox": box, "area": area[0], "keypoints": keypoints,
        "num_keypoints": labelled,
    }  # fmt: skip


def _numbers(values: Any) -> list[float] | None:
    """A list of finite numbers as floats, else None."""
    if not isinstance(values, list | tuple):
        return None
    if not all(isinstance(v, int | float) and not isinstance(v, bool) and math.isfinite(v) for v in values):
        return None
    return [float(v) for v in values]
