"""Labelled tracks of PoseTrack18 (Andriluka et al., CVPR 2018): a folder of JSON files, one a sequence, and the frames.

Its 17 joints are nose, head bottom, head top, ears, and shoulders to ankles as in COCO; they become COCO-17 by name,
with the eyes unlabelled. Boxes are the annotated ones; where there are none, the labelled joints' with 15 % on every side.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.annotations import AnnotationFile, label, numbers
from vipose.models.data.clips import TrackedPerson
from vipose.models.data.joints import joints_box
from vipose.models.data.pack import cut_person
from vipose.models.data.pictures import LeftOut, clipped, find_pictures, picture_or_none
from vipose.runtime.errors import InputError

__all__ = ["read_posetrack"]

Points = npt.NDArray[np.float64]
MARGIN = 0.15
"""Share of the extent of the joints that PoseTrack's boxes add on every side."""


@dataclass(frozen=True)
class _Labelled:
    """A person on a frame, in its pixels."""

    track: int | str
    box: Points
    gt: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Frame:
    """One labelled frame; ``number`` is its place in the video."""

    number: int
    file_name: str
    people: list[_Labelled]


def read_posetrack(
    folder: Path,
    images: Path,
    *,
    shortest: int = 4,
    least_joints: int = 1,
    source: str = "posetrack",
    allow_missing: bool = False,
    left_out: LeftOut | None = None,
) -> Iterator[TrackedPerson]:
    """People frame by frame, track after track, for :func:`~vipose.models.data.clips.write_clip_pack`.

    A track is a run of consecutive frames on which a person is labelled: a frame without the person begins a new one,
    so that heatmaps are never carried over a gap. (Validation sequences are labelled on every fourth frame, but for 30
    in the middle.) People in ignore regions are left out.

    Args:
        folder: of ``*.json``.
        images: folder that the pictures' names begin in, or one further down.
        shortest: runs of fewer frames are left out.
        least_joints: people with fewer labelled joints on a frame are not there.
        source: name before a colon and the name of the sequence.
        allow_missing: go on without pictures that are missing or damaged.
        left_out: counts who is left out.

    Raises:
        InputError: a file is malformed, pictures are missing, or no track is left.
    """
    left_out = LeftOut() if left_out is None else left_out
    files = sorted(folder.glob("*.json")) if folder.is_dir() else []
    if not files:
        raise InputError(f"{folder} holds no JSON files; give PoseTrack18's folder of annotations, one file a sequence")
    sequences = {path: _frames(AnnotationFile.read(path), least_joints, left_out) for path in files}
    names = [frame.file_name for frames in sequences.values() for frame in frames]
    paths = find_pictures(images, names, named_by=folder, allow_missing=allow_missing, left_out=left_out)
    number = 0
    for path, frames in sequences.items():
        cut: dict[int | str, list[tuple[int, TrackedPerson]]] = defaultdict(list)
        for frame in frames:
            if frame.file_name in paths:
                picture = picture_or_none(paths[frame.file_name], None, allow_missing=allow_missing, left_out=left_out)
                if picture is not None:
                    _cut(picture, frame, f"{source}:{path.stem}", cut, left_out)
        for track, rows in cut.items():
            for run in _runs(rows):
                if len(run) < shortest:
                    left_out.add(f"tracks of fewer than {shortest} frames", f"{track} of {path.name}")
                    continue
                yield from (replace(row, track=number) for row in run)
                number += 1
    if not number:
        found = f"{folder} gives no track to train on ({left_out})"
        raise InputError(f"{found}; give sequences with labels on neighbouring frames")


def _frames(file: AnnotationFile, least_joints: int, left_out: LeftOut) -> list[_Frame]:
    """The frames of a sequence that show someone, in order."""
    maps = file.joint_maps()
    regions = {image: _ignore_regions(file.path, row) for image, row in file.images.items()}
    people: dict[Any, list[_Labelled]] = defaultdict(list)
    for place, row in enumerate(file.annotations):
        joint_map, reason, box = maps.get(row["category_id"]), "", np.zeros(4)
        if joint_map is None:
            reason = "things of other categories"
        else:
            gt = file.joints(row, place, joint_map)
            box = file.box(row, place) if "bbox" in row else joints_box(np.reshape(row["keypoints"], (-1, 3)), MARGIN)
            if (gt[:, 2] > 0).sum() < least_joints:
                reason = f"people with fewer than {least_joints} labelled joints"
            elif not (box[2:] > box[:2]).all():
                reason = "boxes of no size"
            elif any(_holds(region, box) for region in regions[row["image_id"]]):
                reason = "people in ignore regions"
        if reason:
            left_out.add(reason, f"{label(row, place)} of {file.path.name}")
        else:
            people[row["image_id"]].append(_Labelled(file.identity(row, place, "track_id"), box, gt))
    numbered = _frame_numbers([row["file_name"] for row in file.images.values()])
    rows = zip(numbered, file.images.items(), strict=True)
    frames = [_Frame(number, row["file_name"], people[image]) for number, (image, row) in rows if image in people]
    return sorted(frames, key=lambda frame: frame.number)


def _frame_numbers(names: list[str]) -> list[int]:
    """Places of frames in their video: the digits that the names end in, or else the order of the list."""
    ends = [re.search(r"(\d+)$", Path(name).stem) for name in names]
    found = [int(end[1]) for end in ends if end]
    return found if len(set(found)) == len(names) else list(range(len(names)))


def _ignore_regions(path: Path, image: dict[str, Any]) -> list[npt.NDArray[np.float32]]:
    """Polygons [n, 2] of a frame in which people are not labelled."""
    across, down = (image.get(f"ignore_regions_{axis}") or [] for axis in "xy")
    polygons = []
    for x, y in zip(across, down, strict=False):
        columns, rows = numbers(x), numbers(y)
        if columns is None or rows is None or len(columns) != len(rows):
            raise InputError(f"{path}: image {image['id']} has ignore regions that are not lists of x and y; mend it")
        polygons.append(np.column_stack([columns, rows]).astype(np.float32))
    return [polygon for polygon in polygons if len(polygon) > 2]


def _holds(region: npt.NDArray[np.float32], box: Points) -> bool:
    """Whether the centre of a box lies in a polygon."""
    x, y = (box[:2] + box[2:]) / 2
    return cv2.pointPolygonTest(region, (float(x), float(y)), False) > 0


def _cut(
    picture: npt.NDArray[np.uint8],
    frame: _Frame,
    source: str,
    cut: dict[int | str, list[tuple[int, TrackedPerson]]],
    left_out: LeftOut,
) -> None:
    """Append the people of a frame to their tracks."""
    for person in frame.people:
        box = clipped(person.box, picture)
        if box is None:
            left_out.add("boxes outside of their picture", f"track {person.track} on {frame.file_name}")
            continue
        crop, origin = cut_person(picture, box, source, gt=person.gt, picture_id=frame.file_name)
        cut[person.track].append((frame.number, TrackedPerson(crop, -1, origin)))


def _runs(rows: list[tuple[int, TrackedPerson]]) -> Iterator[list[TrackedPerson]]:
    """Runs of consecutive frames."""
    run: list[TrackedPerson] = []
    for place, (number, row) in enumerate(rows):
        if run and number != rows[place - 1][0] + 1:
            yield run
            run = []
        run.append(row)
    if run:
        yield run
