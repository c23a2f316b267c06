"""``vipose evaluate --sequence``: the whole pipeline over folders of frames with labelled tracks.

The annotation file is COCO's with two additions: ``video`` (or ``vid_id``, or else the folder in ``file_name``) and ``frame_id``
on every image, ``track_id`` on every person. PoseTrack18 files are that already; their images with ``is_labeled`` false
are run and not scored. Every sequence gets a pipeline of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import InputError
from vipose.runtime.evaluate.annotations import Annotations, Row, load_picture, truth_arrays
from vipose.runtime.evaluate.images import Percentiles, percentiles
from vipose.runtime.metrics.coco import Scores, keypoint_scores
from vipose.runtime.metrics.jitter import jitter
from vipose.runtime.metrics.joint_ap import JointAP
from vipose.runtime.metrics.mot import MotFrame, MotScore, assign, mot_score, total
from vipose.runtime.metrics.pck import box_lengths, head_lengths
from vipose.runtime.oks import oks_matrix
from vipose.runtime.pipeline import Networks, Pipeline, PipelineConfig
from vipose.runtime.skeleton import Skeleton
from vipose.runtime.smooth import SmoothConfig, ZeroPhase
from vipose.runtime.types import Counters, Frame, FrameResult

__all__ = ["JOINT_BOX_FRACTION", "MATCH_OKS", "SequenceReport", "evaluate_sequences", "skip_frames", "split_sequences"]

FloatArray = npt.NDArray[np.floating]
MATCH_OKS = 0.5
"""A tracked person is the labelled one from this similarity on (MOTA, switches, IDF1)."""
PAIR_OKS = 0.1
"""The same for per-joint AP and jitter, where a bad pose must count as bad and not as missed."""
JOINT_HEAD_FRACTION, JOINT_BOX_FRACTION = 0.5, 0.1
"""A joint is right within half a head where there is a head box, else within a tenth of the box's longer side."""
IGNORED_OVERLAP = 0.5
"""A person without partner who lies this far inside an unlabelled one's box or a crowd does not count as extra."""


@dataclass(frozen=True)
class SequenceReport:
    """What an evaluation on sequences found.

    Attributes:
        sequences, frames, people: how many; frames that were run, people that are labelled.
        joints: names.
        joint_ap: AP of each joint; ``mean_ap`` over those that are labelled.
        keypoints: COCO AP and AR over the labelled frames.
        tracking: over all sequences; ``by_sequence`` for each.
        jitter, jitter_truth: mean second difference as a fraction of the labelled box's longer side, over the same joints
            and frames; None where no person is matched three frames in a row.
        counters: key, propagated and forced people on frames.
        frame_ms, stage_ms: of the pipeline.
        person_ms: all of a frame divided by its people.
        notes: what the user should know.
    """

    sequences: int
    frames: int
    people: int
    joints: tuple[str, ...]
    joint_ap: tuple[float | None, ...]
    keypoints: Scores
    tracking: MotScore
    by_sequence: dict[str, MotScore]
    jitter: float | None
    jitter_truth: float | None
    counters: Counters
    frame_ms: Percentiles | None
    person_ms: Percentiles | None
    stage_ms: dict[str, Percentiles]
    notes: tuple[str, ...] = ()

    @property
    def mean_ap(self) -> float | None:
        """Mean over labelled joints."""
        values = [value for value in self.joint_ap if value is not None]
        return float(np.mean(values)) if values else None


@dataclass
class _Score:
    """Collects over sequences."""

    joint_ap: JointAP
    rows: list[Row]
    tracking: dict[str, MotScore]
    jitters: tuple[list[FloatArray], list[FloatArray]]
    results: list[FrameResult]
    counters: list[Counters]


def split_sequences(annotations: Annotations) -> dict[str, list[Row]]:
    """Images by sequence, each in the order of ``frame_id`` (of the file names where there is none).

    Raises:
        InputError: a person without ``track_id``, or a ``frame_id`` that is missing on some images or repeats.
    """
    for person in annotations.people:
        if not isinstance(person.get("track_id"), int):
            raise InputError(
                f"'{annotations.path}': annotation {person['id']} has no integer 'track_id', which --sequence needs; "
                "leave --sequence out for single pictures"
            )
    groups: dict[str, list[Row]] = {}
    for image in annotations.images:
        folder = PurePosixPath(image["file_name"].replace("\\", "/")).parent.name
        name = next((image[key] for key in ("video", "video_id", "vid_id") if key in image), folder)
        groups.setdefault(str(name), []).append(image)
    for name, images in groups.items():
        numbers = [image.get("frame_id") for image in images]
        if any(number is not None for number in numbers):
            if not all(isinstance(number, int) for number in numbers) or len(set(numbers)) < len(numbers):
                raise InputError(
                    f"'{annotations.path}': every image of sequence '{name}' needs a 'frame_id' of its own; mend the file"
                )
            images.sort(key=lambda image: image["frame_id"])
        else:
            images.sort(key=lambda image: image["file_name"])
    return groups


def skip_frames(annotations: Annotations, count: int) -> Annotations:
    """The same without the first ``count`` frames of every sequence and whoever is labelled on them.

    Where key frames fall decides a point or two of what a temporal mode reaches; several starts tell how much.

    Raises:
        InputError: see :func:`split_sequences`; no frame is left.
    """
    if count == 0:
        return annotations
    images = tuple(row for rows in split_sequences(annotations).values() for row in rows[count:])
    if not images:
        raise InputError(f"'{annotations.path}' has no sequence of more than {count} frames; skip fewer")
    return annotations.only(images)


def evaluate_sequences(
    annotations: Annotations,
    paths: dict[int, Path],
    mode: Networks,
    skeleton: Skeleton,
    *,
    config: PipelineConfig | None = None,
    raw: bool = False,
    fps: float = 25.0,
    tick: Callable[[int], None] | None = None,
) -> SequenceReport:
    """Run and score every sequence.

    Args:
        annotations: checked labels.
        paths: image id -> file.
        mode: networks with a detector.
        skeleton: of the mode.
        config: of the pipeline; its causal smoothing is replaced by the two-pass one of files.
        raw: score keypoints as decoded instead of smoothed.
        fps: frames a second where images have no ``time_s``.
        tick: told how many frames are done.

    Raises:
        InputError: see :func:`split_sequences`; a picture cannot be decoded.
    """
    config = replace(config or PipelineConfig(), smoothing=False)
    score = _Score(JointAP(len(skeleton)), [], {}, ([], []), [], [])
    groups, people = split_sequences(annotations), annotations.by_image()
    done = 0
    for name, images in groups.items():
        pipeline, smoother = Pipeline(mode, config), ZeroPhase(SmoothConfig(strength=config.smoothing_strength))
        results: list[FrameResult] = []
        for frame in _frames(images, paths, fps):
            results += smoother.push(pipeline.process(frame))
            done += 1
            if tick is not None:
                tick(done)
        results += smoother.finish()
        score.counters.append(pipeline.counters)
        score.results += results
        _score_sequence(name, images, people, results, skeleton, raw, annotations.category["id"], score)
    return _report(annotations, groups, skeleton, score)


def _frames(images: Sequence[Row], paths: dict[int, Path], fps: float) -> Any:
    """Frames of one sequence; time is ``time_s`` where the images have it, else (frame_id or position) / fps."""
    for position, row in enumerate(images):
        number = row.get("frame_id", position) - images[0].get("frame_id", 0)
        time_s = float(row["time_s"]) if isinstance(row.get("time_s"), int | float) else number / fps
        yield Frame(position, time_s, load_picture(paths[row["id"]]), str(paths[row["id"]]))


def _score_sequence(
    name: str,
    images: Sequence[Row],
    people: dict[int, list[Row]],
    results: Sequence[FrameResult],
    skeleton: Skeleton,
    raw: bool,
    category: int,
    score: _Score,
) -> None:
    frames: list[MotFrame] = []
    tracks: dict[tuple[int, int], list[tuple[int, float, FloatArray, FloatArray, float]]] = {}
    for position, (row, result) in enumerate(zip(images, results, strict=True)):
        if row.get("is_labeled", True) is False:
            continue
        labelled = [p for p in people[row["id"]] if p["num_keypoints"] > 0 and not p["iscrowd"]]
        truth, boxes = truth_arrays(labelled, len(skeleton))
        poses = np.array([p.keypoints if raw else p.smoothed for p in result.people], np.float64)
        poses = poses.reshape(-1, len(skeleton), 3)
        areas = np.array([p["area"] for p in labelled])
        similarity = oks_matrix(poses, truth, areas, skeleton.variances()).T
        ignored = [p for p in people[row["id"]] if p["num_keypoints"] == 0 or p["iscrowd"]]
        keep = _countable(result, similarity, ignored)
        poses, similarity = poses[keep], similarity[:, keep]
        ids = [result.people[k].id for k in keep]
        pairs = assign(similarity, PAIR_OKS)
        score.joint_ap.add(poses, truth, _joint_limits(labelled, boxes), pairs)
        frames.append(MotFrame([p["track_id"] for p in labelled], ids, similarity))
        for g, p in pairs:
            entry = (position, result.time_s, poses[p], truth[g], float(max(boxes[g, 2:].max(), 1.0)))
            tracks.setdefault((labelled[g]["track_id"], ids[p]), []).append(entry)
        score.rows += [
            {"image_id": row["id"], "category_id": category, "score": person.score,
             "keypoints": [float(v) for v in (person.keypoints if raw else person.smoothed).ravel()]}
            for person in result.people
        ]  # fmt: skip
    score.tracking[name] = mot_score(frames, MATCH_OKS)
    for track in tracks.values():
        _add_jitter(track, score)


def _countable(result: FrameResult, similarity: FloatArray, ignored: Sequence[Row]) -> list[int]:
    """Indices of people that count: all but those without partner who lie inside somebody unlabelled."""
    paired = {p for _, p in assign(similarity, PAIR_OKS)}
    areas = np.array([p["bbox"] for p in ignored], np.float64).reshape(-1, 4)
    low, high = areas[:, :2], areas[:, :2] + areas[:, 2:]
    keep = []
    for number, person in enumerate(result.people):
        box = person.box.astype(np.float64)
        inside = (np.minimum(box[2:], high) - np.maximum(box[:2], low)).clip(0).prod(1)
        share = inside / max(float((box[2:] - box[:2]).clip(0).prod()), 1e-9)
        if number in paired or not (share >= IGNORED_OVERLAP).any():
            keep.append(number)
    return keep


def _joint_limits(people: Sequence[Row], boxes: FloatArray) -> npt.NDArray[np.float64]:
    """Largest distance of a right joint for each person, pixels."""
    limits = JOINT_BOX_FRACTION * box_lengths(boxes) if len(boxes) else np.zeros(0)
    for n, person in enumerate(people):
        head = person.get("head_box") or person.get("bbox_head")
        if head is not None:
            limits[n] = JOINT_HEAD_FRACTION * head_lengths(np.array([head]))[0]
    return limits


def _add_jitter(track: Sequence[tuple[int, float, FloatArray, FloatArray, float]], score: _Score) -> None:
    index, times = np.array([entry[0] for entry in track]), np.array([entry[1] for entry in track])
    sizes, valid = np.array([entry[4] for entry in track]), np.array([entry[3][:, 2] > 0 for entry in track])
    for side in (0, 1):
        points = np.array([entry[2 + side] for entry in track])
        score.jitters[side].append(jitter(index, times, points, sizes, valid))


def _report(
    annotations: Annotations, groups: dict[str, list[Row]], skeleton: Skeleton, score: _Score
) -> SequenceReport:
    labelled = [image["id"] for images in groups.values() for image in images if image.get("is_labeled", True) is not False]
    jitters = [np.concatenate(parts) if parts else np.zeros(0) for parts in score.jitters]
    timed = [result for result in score.results if result.timings]
    stages = {name: [r.timings.get(name, 0.0) for r in timed] for name in dict.fromkeys(n for r in timed for n in r.timings)}
    ms = stages.pop("total", [])
    busy = [(r.timings.get("total", 0.0), len(r.people)) for r in timed if r.people]
    return SequenceReport(
        sequences=len(groups),
        frames=len(annotations.images),
        people=sum(score.truths for score in score.tracking.values()),
        joints=skeleton.joints,
        joint_ap=score.joint_ap.scores(),
        keypoints=keypoint_scores(annotations.as_coco(), score.rows, skeleton, image_ids=labelled),
        tracking=total(score.tracking.values()),
        by_sequence=score.tracking,
        jitter=float(jitters[0].mean()) if len(jitters[0]) else None,
        jitter_truth=float(jitters[1].mean()) if len(jitters[1]) else None,
        counters=Counters(**{
            name: sum(getattr(c, name) for c in score.counters) for name in Counters.__dataclass_fields__
        }),
        frame_ms=percentiles(ms),
        person_ms=percentiles(value for time_ms, n in busy for value in [time_ms / n] * n),
        stage_ms={name: value for name, row in stages.items() if (value := percentiles(row)) is not None},
        notes=annotations.notes,
    )  # fmt: skip
