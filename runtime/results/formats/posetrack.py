"""PoseTrack18 JSON: images, annotations with track ids, and the names of the joints.

Joints are those of the skeleton that ran, told in ``categories``, so that none is lost; the official PoseTrack evaluator
wants its own 17 (``head_bottom`` and ``head_top`` instead of eyes), which COCO networks do not find.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from vipose.runtime.results.formats.coco import json_bytes, rounded
from vipose.runtime.results.header import KIND, ResultHeader
from vipose.runtime.results.loading import (
    Clock,
    LoadedResults,
    Points,
    foreign_header,
    make_person,
    number_people,
    skeleton_of_length,
)
from vipose.runtime.results.strict import UNREADABLE, Malformed, listing, numbers, real, reason, record, whole
from vipose.runtime.results.writing import PartFile, Writer, WriterOptions
from vipose.runtime.skeleton import COCO17, SKELETONS, Skeleton
from vipose.runtime.types import FrameResult, PersonResult

__all__ = ["PoseTrackWriter", "read_posetrack"]


class PoseTrackWriter(Writer):
    """Writes ``OUT.posetrack.json``. Image id = frame index; x, y, 1 (0 with score 0) and the scores apart."""

    name: ClassVar[str] = "posetrack"
    suffix: ClassVar[str] = ".posetrack.json"
    loses: ClassVar[str] = "key or propagated, raw or smoothed (one is chosen), timings"

    def __init__(self, path: Path, header: ResultHeader, options: WriterOptions | None = None) -> None:
        super().__init__(path, header, options)
        self._video = Path(header.source.name).stem or "video"
        head = {"info": header.to_dict(), "categories": [_category(header.joints)]}
        self._parts = (PartFile(path, json_bytes(head)[:-1] + b',"annotations":['),)
        self._count = 0
        self._frames, self._times, self._sizes = array("q"), array("d"), array("q")

    def _write(self, result: FrameResult) -> None:
        lines = []
        for person in result.people:
            lines.append((b",\n" if self._count else b"\n") + json_bytes(self._annotation(result.index, person)))
            self._count += 1
        self._parts[0].append(b"".join(lines))
        self._frames.append(result.index)
        self._times.append(result.time_s)
        self._sizes.extend(int(side) for side in result.size)

    def _annotation(self, index: int, person: PersonResult) -> dict[str, Any]:
        points = self.points(person)
        places = np.round(points, 2) + 0.0
        places[:, 2] = points[:, 2] > 0
        x0, y0, x1, y1 = person.box.tolist()
        return {
            "id": self._count,
            "image_id": int(index),
            "track_id": int(person.id),
            "category_id": 1,
            "bbox": [rounded(x0, 2), rounded(y0, 2), rounded(x1 - x0, 2), rounded(y1 - y0, 2)],
            "keypoints": places.ravel().tolist(),
            "scores": (np.round(points[:, 2], 3) + 0.0).tolist(),
            "score": rounded(person.score, 3),
        }

    def _images(self, records: int) -> Iterator[bytes]:
        yield b'\n],"images":['
        for place in range(records):
            index = self._frames[place]
            image = {
                "id": index,
                "frame_id": index,
                "vid_id": self._video,
                "file_name": f"{self._video}/{index:06d}.jpg",
                "nframes": records,
                "is_labeled": True,
                "time_s": round(self._times[place], 6),
                "width": self._sizes[2 * place],
                "height": self._sizes[2 * place + 1],
            }
            yield (b",\n" if place else b"\n") + json_bytes(image)
        yield b"\n]}\n"

    def _close(self) -> None:
        self._parts[0].finish(self._images)


def _category(skeleton: Skeleton) -> dict[str, Any]:
    limbs = [[first + 1, second + 1] for first, second in skeleton.limbs]  # 1-based, as in COCO
    return {
        "id": 1, "name": "person", "supercategory": "person", "keypoints": list(skeleton.joints), "skeleton": limbs,
    }  # fmt: skip


def read_posetrack(path: Path, data: dict[str, Any], fps: float | None) -> LoadedResults:
    """Results from parsed PoseTrack18 (or COCO annotation) JSON; raises Malformed.

    Joints are found by name. Without ``scores``, labelled joints score 1.
    """
    header = _own_header(data)
    joints = _Joints(data, header)
    people: dict[int, list[tuple[PersonResult, int | None]]] = defaultdict(list)
    for place, item in enumerate(listing(data.get("annotations"), "annotations")):
        entry = record(item, f"annotation {place}")
        told = entry.get("track_id")
        identity = None if told is None else whole(told, f"annotation {place}: track_id")
        people[whole(entry.get("image_id"), f"annotation {place}: image_id")].append(
            (_person(entry, joints, f"annotation {place}"), identity)
        )
    clock, frames, all_had_ids, known = Clock(fps), [], True, set()
    images = [record(item, "an image") for item in listing(data.get("images"), "images")]
    for place, image in enumerate(images):
        number = whole(image.get("id"), "image id")
        known.add(number)
        index = number if header else place
        numbered, had = number_people(*_split(people.get(number, [])))
        all_had_ids &= had
        size = (whole(image.get("width", 0), "width"), whole(image.get("height", 0), "height"))
        frames.append(FrameResult(index, clock.time_s(index, image.get("time_s")), size, numbered))
    if set(people) - known:
        raise Malformed(f"annotations belong to image {min(set(people) - known)}, which is not in 'images'")
    notes = (() if all_had_ids else ("ids: the input has none, people are numbered within each frame",)) + joints.notes
    size = frames[0].size if frames else (0, 0)
    header = header or foreign_header(path, joints.skeleton, len(frames), fps=fps, size=size)
    return LoadedResults("posetrack", header, tuple(sorted(frames, key=lambda f: f.index)), (*notes, *clock.note()))


def _split(found: list[tuple[PersonResult, int | None]]) -> tuple[list[PersonResult], list[int | None]]:
    return [person for person, _ in found], [told for _, told in found]


def _own_header(data: dict[str, Any]) -> ResultHeader | None:
    info = data.get("info")
    if not isinstance(info, dict) or info.get("vipose") != KIND:
        return None
    try:
        return ResultHeader.from_dict(info)
    except UNREADABLE as error:
        raise Malformed(f"its header is malformed ({reason(error)})") from error


class _Joints:
    """Carries keypoints from the order of a file into a known skeleton, by joint name."""

    def __init__(self, data: dict[str, Any], header: ResultHeader | None) -> None:
        names = _names(data)
        self.notes: tuple[str, ...] = ()
        self.count: int | None = len(names) if names else None
        matching = [s for s in SKELETONS.values() if list(s.joints) == names]
        self.skeleton = header.joints if header else (matching[0] if matching else COCO17)
        self._from: list[int | None] | None = None
        if names and not matching:
            shared = [name for name in self.skeleton.joints if name in names]
            if not shared:
                raise Malformed(f"none of its joints ({', '.join(names[:4])} …) is of a known skeleton")
            self._from = [names.index(name) if name in names else None for name in self.skeleton.joints]
            gone = [name for name in names if name not in self.skeleton.joints]
            missing = [name for name in self.skeleton.joints if name not in names]
            self.notes = (f"joints: without {', '.join(gone) or 'loss'}; absent here: {', '.join(missing) or 'none'}",)

    def place(self, points: Points, what: str) -> Points:
        """[K, 3] in the order of ``skeleton`` from [n, 3] in the order of the file; score 0 where it has none."""
        if self.count is None:
            self.skeleton, self.count = skeleton_of_length(len(points)), len(points)
        if len(points) != self.count:
            raise Malformed(f"{what}: {len(points)} keypoints instead of {self.count}")
        if self._from is None:
            return points
        return np.array([points[i] if i is not None else np.zeros(3) for i in self._from], np.float32)


def _names(data: dict[str, Any]) -> list[str]:
    categories = data.get("categories")
    if not isinstance(categories, list) or not categories or not isinstance(categories[0], dict):
        return []
    names = categories[0].get("keypoints", [])
    return [str(name) for name in names] if isinstance(names, list) else []


def _person(entry: dict[str, Any], joints: _Joints, what: str) -> PersonResult:
    flat = numbers(entry.get("keypoints"), f"{what}: keypoints")
    if not flat or len(flat) % 3:
        raise Malformed(f"{what}: {len(flat)} numbers are not x, y, visibility of each joint")
    points = np.array(flat, np.float32).reshape(-1, 3)
    points[:, 2] = points[:, 2] > 0
    if "scores" in entry:
        scores = numbers(entry["scores"], f"{what}: scores")
        if len(scores) != len(points):
            raise Malformed(f"{what}: {len(scores)} scores for {len(points)} keypoints")
        points[:, 2] = scores
    box = None
    if "bbox" in entry:
        x, y, width, height = numbers(entry["bbox"], f"{what}: bbox", 4)
        box = [x, y, x + width, y + height]
    score = real(entry["score"], f"{what}: score") if "score" in entry else None
    return make_person(0, joints.place(points, what), score=score, box=box)
