"""``vipose evaluate --images``: a key-frame graph on labelled pictures, scored as COCO or MPII does.

One top-down pass a picture: boxes (labelled, or the detector's), crops by the graph's own convention, heatmaps, decoding,
instance scores, OKS suppression (detector boxes only). Scores are computed from the rounded rows that ``--save`` writes, so that a
saved file scores exactly what was printed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from vipose.runtime.evaluate.annotations import Annotations, Row, load_picture, truth_arrays
from vipose.runtime.evaluate.examples import rank_people
from vipose.runtime.evaluate.still import StageClock, StillPose, box_corners, instance_scores, oks_nms
from vipose.runtime.metrics.coco import Scores, box_scores, keypoint_scores
from vipose.runtime.metrics.mot import assign
from vipose.runtime.metrics.pck import PckScore, box_lengths, pck, pckh
from vipose.runtime.oks import oks_matrix

__all__ = ["ALL", "BOX_THRESHOLD", "MAX_BOXES", "ImagesReport", "Percentiles", "evaluate_images", "percentiles"]

Boxes = Literal["gt", "detector"]
FloatArray = npt.NDArray[np.floating]
Finder = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""A detector: picture [H, W, 3] uint8 RGB -> [N, 5] boxes (x0, y0, x1, y1) and scores."""
ALL = "all"
BOX_THRESHOLD, MAX_BOXES = 0.02, 100
"""Detector boxes from this score on are scored, at most so many a picture as COCO counts: AP needs the unsure ones too."""
MAX_POSES = 40
"""Only the best boxes of a picture are posed: COCO counts 20 people, and some of the poses are doubles."""
PCK_FRACTION, PCKH_FRACTION, PCKH_FINE = 0.2, 0.5, 0.1
PAIR_OKS = 0.1
"""For PCK with detector boxes: a labelled person pairs with a pose only from this similarity on."""


@dataclass(frozen=True)
class Percentiles:
    """Median and 95th percentile of milliseconds, and how many samples they come from."""

    p50: float
    p95: float
    samples: int


def percentiles(samples: Iterable[float]) -> Percentiles | None:
    """None without samples."""
    values = np.array(list(samples), np.float64)
    if not len(values):
        return None
    return Percentiles(float(np.percentile(values, 50)), float(np.percentile(values, 95)), len(values))


@dataclass(frozen=True)
class ImagesReport:
    """What an evaluation on pictures found.

    Attributes:
        pictures, people: by source and for ``all``; people are the labelled ones that count for keypoints.
        joints: names, in the order of all scores by joint.
        keypoints: rows of :data:`vipose.runtime.metrics.coco.KEYPOINT_SCORES`, by source; None without areas of people.
        mean_oks: by source, of people with ``examples.MIN_JOINTS`` labelled joints or more; 0 counts for those who were not
            found. Unlike AP it does not depend on scores. None for a source without anybody, or without areas at all.
        boxes: rows of :data:`vipose.runtime.metrics.coco.BOX_SCORES`, by source; None with labelled boxes.
        pck: PCK@0.2 of the longer side of the labelled box, by source.
        pckh, pckh_fine: PCKh@0.5 and PCKh@0.1, by source; None where no person has a ``head_box``.
        person_ms: crop, pose and decoding of a picture divided by its people.
        stage_ms: by stage, a picture.
        results, box_results: rows of COCO result files.
        poses: annotation id -> [K, 3] x, y, score of each labelled person that counts, picture pixels; NaN for one
            that was not found.
        notes: what the user should know.
    """

    pictures: dict[str, int]
    people: dict[str, int]
    joints: tuple[str, ...]
    keypoints: dict[str, Scores] | None
    mean_oks: dict[str, float | None] | None
    boxes: dict[str, Scores] | None
    pck: dict[str, PckScore]
    pckh: dict[str, PckScore] | None
    pckh_fine: dict[str, PckScore] | None
    person_ms: Percentiles | None
    stage_ms: dict[str, Percentiles]
    results: list[Row]
    box_results: list[Row]
    poses: dict[int, npt.NDArray[np.float64]]
    notes: tuple[str, ...] = ()


@dataclass
class _Collected:
    """What the pictures gave: result rows, one pose for each labelled person (NaN where it was missed), times."""

    results: list[Row]
    box_results: list[Row]
    poses: dict[int, npt.NDArray[np.float64]]
    clock: StageClock
    person_ms: list[float]
    resized: list[str]


def evaluate_images(
    annotations: Annotations,
    paths: dict[int, Any],
    pose: StillPose,
    detector: Finder | None = None,
    *,
    tick: Callable[[int], None] | None = None,
) -> ImagesReport:
    """Evaluate on all pictures of ``annotations``.

    Args:
        annotations: checked labels with the joints of the graph.
        paths: image id -> file, from ``annotations.find_pictures``.
        pose: the graph and how it is run.
        detector: gives the boxes; None takes the labelled ones (of people with a labelled joint that are no crowd). Not
            for the protocol of MPII, which gives the boxes and does not label everybody.
        tick: told how many pictures are done.

    Raises:
        InputError: a picture cannot be decoded.
    """
    collected = _Collected([], [], {}, StageClock(), [], [])
    groups = annotations.by_image()
    category, clip = annotations.category["id"], annotations.protocol == "coco"
    for done, row in enumerate(annotations.images, start=1):
        _one_picture(row, groups[row["id"]], paths[row["id"]], pose, detector, category, clip, collected)
        if tick is not None:
            tick(done)
    return _report(annotations, pose, detector is not None, collected)


def _counted(people: Sequence[Row]) -> list[Row]:
    return [row for row in people if row["num_keypoints"] > 0 and not row["iscrowd"]]


def _one_picture(
    row: Row,
    people: Sequence[Row],
    path: Any,
    pose: StillPose,
    detector: Finder | None,
    category: int,
    clip: bool,
    out: _Collected,
) -> None:
    """Run one picture and add what it gives to ``out``."""
    image = out.clock.time("load", lambda: load_picture(path))
    size = image.shape[1], image.shape[0]
    if (row.get("width", size[0]), row.get("height", size[1])) != size:
        out.resized.append(str(row["file_name"]))
    counted = _counted(people)
    truth, labelled = truth_arrays(counted, len(pose.skeleton))
    if detector is None:
        boxes, scores = box_corners(labelled, size if clip else None), np.ones(len(counted))
    else:
        finder = detector
        found = out.clock.time("detect", lambda: finder(image)).astype(np.float64)
        out.box_results += [_box_row(row["id"], category, box[:4], box[4]) for box in found]
        boxes, scores = found[:MAX_POSES, :4], found[:MAX_POSES, 4]
    poses = _timed_poses(pose, image, boxes, out)
    ranks = instance_scores(poses, scores)
    keep = list(range(len(poses)))
    if detector is not None:
        keep = out.clock.time("suppress", lambda: oks_nms(poses, ranks, boxes, pose.skeleton.variances()))
    out.results += [_pose_row(row["id"], category, poses[k], ranks[k]) for k in keep]
    if detector is None:
        out.poses.update({person["id"]: poses[n].astype(np.float64) for n, person in enumerate(counted)})
    else:
        out.poses.update(_paired(counted, truth, poses[keep], pose.skeleton.variances()))


def _timed_poses(
    pose: StillPose, image: npt.NDArray[np.uint8], boxes: FloatArray, out: _Collected
) -> npt.NDArray[np.float32]:
    if not len(boxes):
        return np.empty((0, len(pose.skeleton), 3), np.float32)
    clock = StageClock()
    poses = pose(image, boxes, clock)
    for name, samples in clock.samples.items():
        out.clock.samples.setdefault(name, []).extend(samples)
    out.person_ms += [sum(map(sum, clock.samples.values())) / len(boxes)] * len(boxes)
    return poses


def _paired(
    people: Sequence[Row], truth: FloatArray, poses: FloatArray, variances: FloatArray
) -> dict[int, npt.NDArray[np.float64]]:
    """The pose of each labelled person by the Hungarian method on OKS; NaN for one that was missed."""
    areas = np.array([person["area"] for person in people])
    partner = {t: p for p, t in assign(oks_matrix(poses, truth, areas, variances), PAIR_OKS)}
    missed = np.full(truth.shape[1:], np.nan)
    return {
        person["id"]: poses[partner[t]].astype(np.float64) if t in partner else missed for t, person in enumerate(people)
    }


def _box_row(image_id: int, category: int, box: FloatArray, score: float) -> Row:
    x0, y0, x1, y1 = (float(side) for side in box)
    bbox = [round(value, 2) for value in (x0, y0, x1 - x0, y1 - y0)]
    return {"image_id": image_id, "category_id": category, "bbox": bbox, "score": round(float(score), 6)}


def _pose_row(image_id: int, category: int, keypoints: FloatArray, score: float) -> Row:
    flat = [round(float(v), 2 if n % 3 < 2 else 4) for n, v in enumerate(keypoints.ravel())]
    return {"image_id": image_id, "category_id": category, "keypoints": flat, "score": round(float(score), 6)}


def _report(annotations: Annotations, pose: StillPose, detected: bool, out: _Collected) -> ImagesReport:
    data, groups = annotations.as_coco(), annotations.by_image()
    sources: dict[str, list[int]] = {ALL: [image["id"] for image in annotations.images]}
    for image in annotations.images:
        if "source" in image:
            sources.setdefault(str(image["source"]), []).append(image["id"])
    people = {name: [row for key in ids for row in _counted(groups[key])] for name, ids in sources.items()}
    heads = {name: [row for row in rows if row.get("head_box") is not None] for name, rows in people.items()}
    return ImagesReport(
        pictures={name: len(ids) for name, ids in sources.items()},
        people={name: len(rows) for name, rows in people.items()},
        joints=pose.skeleton.joints,
        keypoints={
            name: keypoint_scores(data, out.results, pose.skeleton, image_ids=ids) for name, ids in sources.items()
        }
        if annotations.protocol == "coco" else None,
        mean_oks=_mean_oks(annotations, sources, pose, out) if annotations.protocol == "coco" else None,
        boxes={name: box_scores(data, out.box_results, image_ids=ids) for name, ids in sources.items()}
        if detected else None,
        pck={name: _pck(rows, pose, out) for name, rows in people.items()},
        pckh=_pckh(heads, pose, out, PCKH_FRACTION),
        pckh_fine=_pckh(heads, pose, out, PCKH_FINE),
        person_ms=percentiles(out.person_ms),
        stage_ms={name: value for name, ms in out.clock.samples.items() if (value := percentiles(ms)) is not None},
        results=out.results,
        box_results=out.box_results,
        poses=out.poses,
        notes=annotations.notes + _notes(out),
    )  # fmt: skip


def _mean_oks(
    annotations: Annotations, sources: dict[str, list[int]], pose: StillPose, out: _Collected
) -> dict[str, float | None]:
    """Over the people of the sheet, by source."""
    people, means = rank_people(annotations, out.poses, pose.skeleton), {}
    for name, ids in sources.items():
        inside = set(ids)
        values = [person.oks for person in people if person.image_id in inside]
        means[name] = float(np.mean(values)) if values else None
    return means


def _pck(people: Sequence[Row], pose: StillPose, out: _Collected) -> PckScore:
    truth, boxes = truth_arrays(people, len(pose.skeleton))
    return pck(_poses(people, pose, out), truth, box_lengths(boxes), PCK_FRACTION)


def _pckh(
    heads: dict[str, list[Row]], pose: StillPose, out: _Collected, fraction: float
) -> dict[str, PckScore] | None:
    """PCKh of the people who have a head box, by source; None where nobody has one."""
    scores = {}
    for name, people in heads.items():
        truth, _ = truth_arrays(people, len(pose.skeleton))
        boxes = np.array([row["head_box"] for row in people]).reshape(-1, 4)
        scores[name] = pckh(_poses(people, pose, out), truth, boxes, fraction, pose.skeleton)
    return scores if heads[ALL] else None


def _poses(people: Sequence[Row], pose: StillPose, out: _Collected) -> npt.NDArray[np.float64]:
    return np.array([out.poses[row["id"]] for row in people]).reshape(-1, len(pose.skeleton), 3)


def _notes(out: _Collected) -> tuple[str, ...]:
    if not out.resized:
        return ()
    note = (
        f"{len(out.resized)} pictures have another size than the annotations say (first: {out.resized[0]}); their labels "
        "may not fit"
    )
    return (note,)
