"""``vipose train label-clips``: any clips become labelled sequences, by a detector, tracks and a teacher's keypoints.

  vipose train label-clips --videos CLIP ... --teacher A.onnx B.onnx -o DIR
  vipose evaluate --images DIR/images --annotations DIR/annotations.json --sequence --mode t-vipnas --period 4

DIR/images/CLIP/000000.jpg … are the frames; DIR/annotations.json is COCO's with 'video', 'frame_id' and 'time_s' on
images and 'track_id' on people. Labels are the teacher's, not people's: what they tell is how much one mode loses
against another, and no figure on them is an accuracy. DIR must not exist, or be empty; what is interrupted leaves
nothing behind.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.arguments import Parser, positive
from vipose.models.data.clips import Detect, TrackedPerson, cut_tracks
from vipose.models.data.pack import new_pack
from vipose.models.data.people import BODY_AREA
from vipose.models.data.pictures import clipped
from vipose.models.data.teacher import CONVENTION_HELP, CONVENTIONS, HeatmapTeacher
from vipose.runtime.codec import decode_frame
from vipose.runtime.detect import Detector
from vipose.runtime.errors import InputError, OutputError
from vipose.runtime.geometry import apply_affine, box_iou, crop, crop_affine, invert
from vipose.runtime.media.base import Source
from vipose.runtime.media.images import read_image
from vipose.runtime.media.sources import SourceSpec, expand_sources, open_source
from vipose.runtime.shipped import DETECTOR, shipped_graph
from vipose.runtime.skeleton import Skeleton

__all__ = ["ClipCounts", "Labelling", "label_clips", "main", "teacher_keypoints"]

Row = dict[str, Any]
Boxes = npt.NDArray[np.float64]
_QUALITY = 95  # of JPEG: the coding then moves keypoints by far less than a cell
_SAME = 0.3  # IoU of a track's smoothed box and the detection it came from; fast people are ahead of theirs


@dataclass(frozen=True)
class Labelling:
    """What is labelled, and when a joint is sure.

    Attributes:
        people: the largest ones that are tracked and labelled on a frame.
        frames: at most this many of a clip.
        every: takes frames whose number in the clip is a multiple of this.
        least_score: joints with a lower score of the teacher get no label.
    """

    people: int = 3
    frames: int = 150
    every: int = 1
    least_score: float = 0.4


@dataclass(frozen=True)
class ClipCounts:
    """What came of one clip: tracks, frames, people on frames with labels and without, and labelled joints."""

    name: str
    frames: int
    tracks: int
    labelled: int
    unlabelled: int
    joints: int

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.frames} frames, {self.tracks} tracks, {self.labelled} people with {self.joints} sure "
            f"joints, {self.unlabelled} without labels"
        )


def teacher_keypoints(
    image: npt.NDArray[np.uint8], boxes: Boxes, teacher: HeatmapTeacher
) -> npt.NDArray[np.float32]:
    """Keypoints of people by a teacher.

    Args:
        image: [H, W, 3] uint8 RGB.
        boxes: [N, 4] x0 y0 x1 y1 in its pixels.
        teacher: heatmaps of crops.

    Returns:
        [N, K, 3] float32: x, y in pixels of the picture, score 0..1.
    """
    size = teacher.size
    affines = np.array([crop_affine(box, size) for box in boxes]).reshape(-1, 2, 3)
    if not len(affines):
        return np.zeros((0, len(teacher.skeleton), 3), np.float32)
    heatmaps = teacher(np.stack([crop(image, affine, size) for affine in affines]))
    return decode_frame(heatmaps, affines, size, "udp")


@dataclass
class _Recorder:
    """Writes frames of a clip while they are tracked, and keeps what the detector saw."""

    folder: Path
    name: str
    detect: Detect
    images: list[Row] = field(default_factory=list)
    found: list[Boxes] = field(default_factory=list)

    def frames(self, source: Source, limit: int) -> Iterator[npt.NDArray[np.uint8]]:
        (self.folder / self.name).mkdir(parents=True)
        for frame in islice(source, limit):
            ok, data = cv2.imencode(".jpg", frame.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
            if not ok:
                raise ValueError("OpenCV could not encode JPEG")
            file_name = f"{self.name}/{frame.index:06d}.jpg"
            (self.folder / file_name).write_bytes(data.tobytes())
            height, width = frame.image.shape[:2]
            self.images.append({
                "file_name": file_name, "width": width, "height": height, "video": self.name, "frame_id": frame.index,
                "time_s": round(frame.time_s, 6),
            })  # fmt: skip
            yield frame.image

    def look(self, image: npt.NDArray[np.uint8]) -> Boxes:
        found = np.asarray(self.detect(image), np.float64).reshape(-1, 5)
        self.found.append(found[:, :4])
        return found


class _Sequences:
    """Images and people of all clips so far."""

    def __init__(self, folder: Path, detect: Detect, teacher: HeatmapTeacher, options: Labelling) -> None:
        self.folder, self.detect, self.teacher, self.options = folder, detect, teacher, options
        self.images: list[Row] = []
        self.people: list[Row] = []
        self._next_track = 0

    def add(self, spec: SourceSpec, name: str) -> ClipCounts:
        """Track and label one clip."""
        recorder, options = _Recorder(self.folder, name, self.detect), self.options
        with open_source(spec, every=options.every) as source:
            frames = recorder.frames(source, options.frames)
            rows = cut_tracks(frames, recorder.look, name, people=options.people, first_track=self._next_track)
            tracked = _by_frame(rows)
        tracks = len({track for people in tracked.values() for track, _ in people})
        self._next_track += tracks
        people: list[Row] = []
        for number, (image, found) in enumerate(zip(recorder.images, recorder.found, strict=True)):
            image["id"] = len(self.images) + 1
            self.images.append(image)
            people += self._frame(image, tracked.get(number, []), found)
        for row in people:
            self.people.append({"id": len(self.people) + 1, **row})
        labelled = [row["num_keypoints"] for row in people if row["num_keypoints"]]
        unlabelled = len(people) - len(labelled)
        return ClipCounts(name, len(recorder.images), tracks, len(labelled), unlabelled, sum(labelled))

    def _frame(self, row: Row, tracked: Sequence[tuple[int, Boxes]], found: Boxes) -> Iterator[Row]:
        """People of one frame, labelled on the pixels that were written."""
        image = read_image(self.folder / row["file_name"])
        boxes = np.array([box for _, box in tracked]).reshape(-1, 4)
        keypoints = teacher_keypoints(image, boxes, self.teacher).astype(np.float64)
        high = np.array([image.shape[1] - 0.5, image.shape[0] - 0.5])
        shown = (keypoints[..., :2] >= -0.5).all(2) & (keypoints[..., :2] < high).all(2)
        sure = shown & (keypoints[..., 2] >= self.options.least_score)
        keypoints[..., 2] = 2
        keypoints[~sure] = 0
        others = _others(found, boxes)
        nothing = np.zeros((len(others), len(self.teacher.skeleton), 3))
        tracks = [track for track, _ in tracked] + list(range(self._next_track, self._next_track + len(others)))
        self._next_track += len(others)
        everybody = np.concatenate([boxes, others])
        for track, box, joints in zip(tracks, everybody, np.concatenate([keypoints, nothing]), strict=True):
            inside = clipped(box, image)
            if inside is not None:
                yield _annotation(row["id"], track, inside, joints)

    def as_coco(self, skeleton: Skeleton) -> dict[str, Any]:
        category = {
            "id": 1, "name": "person", "keypoints": list(skeleton.joints),
            "skeleton": [[a + 1, b + 1] for a, b in skeleton.limbs],
        }  # fmt: skip
        note = "Keypoints are a teacher's and boxes a detector's: fit for comparing modes, not for accuracy."
        return {
            "info": {"description": note, "least_score": self.options.least_score}, "images": self.images,
            "annotations": self.people, "categories": [category],
        }  # fmt: skip


def _by_frame(rows: Iterator[TrackedPerson]) -> dict[int, list[tuple[int, Boxes]]]:
    """Track numbers and boxes in pixels of the frame, by place of the frame in the clip."""
    frames: dict[int, list[tuple[int, Boxes]]] = {}
    for row in rows:
        corners = apply_affine(invert(row.origin), row.person.box.reshape(2, 2))
        frames.setdefault(int(row.person.picture_id), []).append((row.track, corners.reshape(4).astype(np.float64)))
    return frames


def _others(found: Boxes, tracked: Boxes) -> Boxes:
    """Detections [N, 4] that belong to nobody who is tracked; the best pairs are made first."""
    overlap, free = box_iou(tracked, found), np.ones(len(found), bool)
    for _ in range(min(overlap.shape)):
        person, other = np.unravel_index(int(overlap.argmax()), overlap.shape)
        if overlap[person, other] < _SAME:
            break
        free[other] = False
        overlap[person], overlap[:, other] = 0, 0
    return found[free]


def _annotation(image: int, track: int, box: Boxes, joints: npt.NDArray[np.float64]) -> Row:
    x0, y0, x1, y1 = box.tolist()
    width, height = x1 - x0, y1 - y0
    return {
        "image_id": image, "category_id": 1, "track_id": track, "iscrowd": 0,
        "bbox": [round(value, 2) for value in (x0, y0, width, height)],
        "area": round(BODY_AREA * width * height, 2),
        "num_keypoints": int((joints[:, 2] > 0).sum()),
        "keypoints": [round(value, 2) for value in joints.ravel().tolist()],
    }  # fmt: skip


def label_clips(
    videos: Sequence[str],
    out: Path,
    detect: Detect,
    teacher: HeatmapTeacher,
    options: Labelling | None = None,
    tell: Callable[[ClipCounts], object] | None = None,
) -> list[ClipCounts]:
    """Write frames and labels of clips in the form that ``vipose evaluate --sequence`` takes.

    Tracks are those of packs of clips (:func:`~vipose.models.data.clips.cut_tracks`): the largest people, and a doubtful
    link ends one. They are labelled where the teacher is sure, on the pixels as written. Everybody else whom the detector
    saw (beyond ``people``, too small, not sure enough, seen too briefly) is in the file as a box without labels, with a
    track of their own. Without these boxes a pose on such a person would be a false positive in MOTA, and in keypoint
    AP, where pycocotools lets one pose near an unlabelled box pass. In AP those beyond ``people`` matter most: they are
    as sure as the tracked ones, and a false positive counts by how many true ones rank behind it; small and unsure
    people rank last. No tracked person has a second, unlabelled box, since a bad pose of that person would pass as its.

    Args:
        videos: files, patterns, folders or lists.
        out: folder to make; appears when everything is written.
        detect: image -> [N, 5] boxes and scores.
        teacher: who labels.
        options: how.
        tell: told about every clip when it is done.

    Raises:
        InputError: a clip cannot be read, or nobody has a sure joint on any.
        OutputError: the folder holds something already, or cannot be written.
    """
    options = options or Labelling()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise OutputError(f"{out} exists and is not empty; remove it, or give another folder with -o")
    specs = expand_sources(videos)
    counts: list[ClipCounts] = []
    with new_pack(out) as part:
        sequences = _Sequences(part / "images", detect, teacher, options)
        for spec, name in zip(specs, _names(specs), strict=True):
            counts.append(sequences.add(spec, name))
            if tell is not None:
                tell(counts[-1])
        if not any(count.labelled for count in counts):
            raise InputError(
                f"there is no one with a sure joint on these clips, so {out} is not made; look at them, or lower --least-score"
            )
        text = json.dumps(sequences.as_coco(teacher.skeleton), allow_nan=False)
        (part / "annotations.json").write_text(text, encoding="utf-8")
    return counts


def _names(specs: Sequence[SourceSpec]) -> list[str]:
    """Names of folders for clips, each once."""
    names: list[str] = []
    for spec in specs:
        name = plain = re.sub(r"[^\w.-]+", "-", Path(spec.text).stem).strip("-.") or "clip"
        number = 1
        while name.lower() in {other.lower() for other in names}:
            number += 1
            name = f"{plain}-{number}"
        names.append(name)
    return names


def _share(text: str) -> float:
    value = float(text)
    if not 0 < value <= 1:
        raise argparse.ArgumentTypeError(f"{text}: want a number above 0 and up to 1")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = Parser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add, default = parser.add_argument, Labelling()
    add("--videos", nargs="+", required=True, metavar="CLIP", help="video files, globs or folders")
    add("--teacher", type=Path, nargs="+", required=True, help="ONNX networks, 256x192 in, heatmaps out")
    add("--no-flip", action="store_true", help="do not average the teacher with the mirrored crop")
    add("--convention", choices=CONVENTIONS, default="msra", help=f"{CONVENTION_HELP} (default %(default)s)")
    add("--least-score", type=_share, default=default.least_score, metavar="S",
        help="joints below get no label (default %(default)s)")  # fmt: skip
    add("--detector", type=Path, metavar="GRAPH", help="who finds people (default: the detector that ships)")
    add("--people", type=positive, default=default.people, metavar="N",
        help="largest people labelled on a frame (default %(default)s); the others become boxes without labels")  # fmt: skip
    add("--frames", type=positive, default=default.frames, metavar="N", help="most of a clip (default %(default)s)")
    add("--every", type=positive, default=default.every, metavar="N", help="every N-th frame (default %(default)s)")
    add("-o", "--out", type=Path, required=True, metavar="DIR", help="folder to make")
    return parser


def main(argv: list[str] | None = None) -> None:
    """Command line."""
    args = _parser().parse_args(argv)
    teacher = HeatmapTeacher(args.teacher, flip=not args.no_flip, convention=args.convention)
    detect = Detector(args.detector or shipped_graph(DETECTOR))
    options = Labelling(args.people, args.frames, args.every, args.least_score)
    counts = label_clips(args.videos, args.out, detect, teacher, options, lambda count: print(count, flush=True))
    frames, people = sum(count.frames for count in counts), sum(count.labelled for count in counts)
    print(f"{args.out}: {frames} frames of {len(counts)} clips, {people} labelled people on them")
    print(f"vipose evaluate --images {args.out / 'images'} --annotations {args.out / 'annotations.json'} --sequence")


if __name__ == "__main__":
    main()
