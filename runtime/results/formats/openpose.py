"""OpenPose folders: one ``NAME_000000000000_keypoints.json`` a frame, BODY_25, as Pose2Sim, Kinovea and Blender read them."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError, OutputError
from vipose.runtime.results.formats.coco import json_bytes
from vipose.runtime.results.header import ResultHeader
from vipose.runtime.results.loading import (
    Clock,
    LoadedResults,
    foreign_header,
    load_json,
    make_person,
    number_people,
)
from vipose.runtime.results.strict import Malformed, listing, numbers, record
from vipose.runtime.results.writing import Writer, WriterOptions, needs_folder, output_error
from vipose.runtime.skeleton import COCO17
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["BODY_25", "OpenPoseWriter", "frame_files", "read_openpose"]

Array = npt.NDArray[np.float64]
BODY_25 = (
    "nose", "neck", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
    "mid_hip", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "right_eye",
    "left_eye", "right_ear", "left_ear", "left_big_toe", "left_small_toe", "left_heel", "right_big_toe",
    "right_small_toe", "right_heel",
)  # fmt: skip
_COCO_18 = (*BODY_25[:8], *BODY_25[9:19])
_BY_LENGTH = {25: BODY_25, 18: _COCO_18}
_MIDDLES = {"neck": ("left_shoulder", "right_shoulder"), "mid_hip": ("left_hip", "right_hip")}
_EMPTY: dict[str, list[float]] = {
    key: []
    for key in (
        "face_keypoints_2d", "hand_left_keypoints_2d", "hand_right_keypoints_2d", "pose_keypoints_3d",
        "face_keypoints_3d", "hand_left_keypoints_3d", "hand_right_keypoints_3d",
    )
}  # fmt: skip
_FRAME_FILE = re.compile(r"(?:.*_)?(\d+)_keypoints\.json")


class OpenPoseWriter(Writer):
    """Writes a folder ``OUT_openpose`` with a file for EVERY frame.

    Neck and mid-hip are the middles of shoulders and hips, with the lower score of the two; joints that the skeleton
    does not have (feet) are 0, 0, 0.
    """

    name: ClassVar[str] = "openpose"
    suffix: ClassVar[str] = "_openpose"
    loses: ClassVar[str] = (
        "times, boxes, person scores, joints that BODY_25 lacks, key or propagated, raw or smoothed (one is chosen), settings"
    )

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        needs_folder(path)
        if os.path.lexists(path) and not path.is_dir():
            raise OutputError(f"'{path}' cannot be written: it is a file, OpenPose results need a folder; give another name")
        self._done = False
        self._stem = path.name.removesuffix(self.suffix) or "frame"
        self._part = path.with_name(path.name + ".part")
        try:
            self._part.mkdir(exist_ok=True)
            _remove_frames(self._part, self._stem)
        except OSError as error:
            raise output_error(path, error) from error

    @property
    def paths(self) -> tuple[Path, ...]:
        return (self.path,) if self._done else ()

    def _write(self, result: FrameResult) -> None:
        people = [self._person(person) for person in result.people]
        file = self._part / f"{self._stem}_{result.index:012d}_keypoints.json"
        try:
            file.write_bytes(json_bytes({"version": 1.3, "people": people}))
        except OSError as error:
            file.unlink(missing_ok=True)  # half a file would spoil the folder
            raise output_error(self.path, error) from error

    def _discard(self) -> None:
        try:
            _remove_frames(self._part, self._stem)
            self._part.rmdir()
        except OSError as error:
            raise output_error(self._part, error) from error

    def _person(self, person: PersonResult) -> dict[str, Any]:
        joints = dict(zip(self.header.joints.joints, self.points(person), strict=True))
        points = np.stack([_body25_joint(name, joints) for name in BODY_25])
        points[:, :2] = np.round(points[:, :2], 2) + 0.0
        points[:, 2] = np.round(points[:, 2], 3) + 0.0
        return {"person_id": [int(person.id)], "pose_keypoints_2d": points.ravel().tolist(), **_EMPTY}

    def _close(self) -> None:
        try:
            if self.path.is_dir():  # frames of an earlier run must not stay among the new ones
                _remove_frames(self.path, self._stem)
                for file in sorted(self._part.iterdir()):
                    os.replace(file, self.path / file.name)
                self._part.rmdir()
            else:
                os.replace(self._part, self.path)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._done = True


def _body25_joint(name: str, joints: Mapping[str, Array]) -> Array:
    if name not in _MIDDLES:
        return joints.get(name, np.zeros(3))
    left, right = (joints.get(side, np.zeros(3)) for side in _MIDDLES[name])
    score = min(left[2], right[2])
    return np.array([*(left[:2] + right[:2]) / 2, score]) if score > 0 else np.zeros(3)


def _remove_frames(folder: Path, stem: str) -> None:
    """Delete the frames that this writer wrote under this name, and nothing else."""
    for file in folder.iterdir():
        if re.fullmatch(re.escape(stem) + r"_\d{12,}_keypoints\.json", file.name):
            file.unlink()


def frame_files(folder: Path) -> list[tuple[int, Path]]:
    """Frame index and file of each frame in a folder, by index; raises InputError."""
    try:
        files = [(match, file) for file in folder.iterdir() if (match := _FRAME_FILE.fullmatch(file.name))]
    except OSError as error:
        raise InputError(f"'{folder}' cannot be read ({error.strerror}); check the path and its permissions") from error
    return sorted((int(match[1]), file) for match, file in files)


def read_openpose(folder: Path, fps: float | None) -> LoadedResults:
    """Results from a folder of BODY_25 or COCO (18 joints) frames, as COCO-17; raises InputError.

    A frame's number in its file name is its index; times are index / ``fps``.
    """
    clock, frames, all_had_ids = Clock(fps), [], True
    files = frame_files(folder)
    for (index, file), (after, other) in pairwise(files):
        if index == after:
            raise InputError(f"'{folder}' holds frame {index} twice ('{file.name}', '{other.name}'); give one video a folder")
    for index, file in files:
        try:
            people, told = _read_people(load_json(file))
        except Malformed as error:
            raise InputError(f"'{file}': {error}; is it an OpenPose file?") from error
        numbered, had = number_people(people, told)
        all_had_ids &= had
        frames.append(FrameResult(index, clock.time_s(index), (0, 0), numbered, provider="unknown"))
    notes = ["boxes: drawn tightly around the joints", "joints: those that COCO-17 lacks are left out"]
    if not all_had_ids:
        notes.append("ids: the input has none, people are numbered within each frame")
    header = foreign_header(folder, COCO17, len(frames), fps=fps)
    return LoadedResults("openpose", header, tuple(frames), (*notes, *clock.note()))


def _read_people(data: Any) -> tuple[list[PersonResult], list[int | None]]:
    people, told = [], []
    for item in listing(record(data, "the file").get("people"), "people"):
        entry = record(item, "a person")
        flat = numbers(entry.get("pose_keypoints_2d"), "pose_keypoints_2d")
        names = _BY_LENGTH.get(len(flat) // 3) if len(flat) % 3 == 0 else None
        if names is None:
            raise Malformed(f"{len(flat)} numbers are neither BODY_25 nor COCO keypoints")
        points = np.array(flat, np.float32).reshape(-1, 3)
        people.append(make_person(0, points[[names.index(joint) for joint in COCO17.joints]]))
        told.append(_identity(entry.get("person_id")))
    return people, told


def _identity(value: Any) -> int | None:
    """OpenPose writes ``[-1]`` for "not known"."""
    first = value[0] if isinstance(value, list) and value else value
    return first if isinstance(first, int) and not isinstance(first, bool) and 0 <= first < 2**62 else None
