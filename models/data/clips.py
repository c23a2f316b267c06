"""Tracked people cut out of video, for training propagation: consecutive crops of one person with the teacher's heatmaps.

A clip pack is a pack (:mod:`vipose.models.data.pack`) with two more arrays in ``index.npz``: ``track`` (rows of one
person follow each other frame by frame) and ``origin`` [N, 2, 3] (frame -> stored crop), so that heatmaps can be carried
from one frame to the next exactly as the runtime does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vipose.models.data.pack import Person, cut_person, write_pack
from vipose.models.data.teacher import HeatmapTeacher
from vipose.runtime.geometry import box_iou

__all__ = ["TrackedPerson", "cut_tracks", "write_clip_pack"]

Detect = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.floating]]


@dataclass(frozen=True)
class TrackedPerson:
    """One person on one frame; ``origin`` maps frame pixels to the stored crop."""

    person: Person
    track: int
    origin: npt.NDArray[np.floating]


@dataclass
class _Track:
    box: npt.NDArray[np.float64]
    rows: list[TrackedPerson] = field(default_factory=list)


def cut_tracks(
    images: Iterable[npt.NDArray[np.uint8]],
    detect: Detect,
    source: str,
    *,
    people: int = 4,
    smallest: float = 56.0,
    shortest: int = 6,
    first_track: int = 0,
) -> Iterator[TrackedPerson]:
    """Cut the largest people out of consecutive RGB frames.

    Association is by IoU above 0.5 from frame to frame and nothing else: a doubtful link ends the track, which costs a
    little data and never teaches a jump. Boxes are smoothed (a detector's jitter is not the motion to learn).

    Args:
        images: [H, W, 3] uint8 RGB frames in order.
        detect: image -> [N, 5] boxes and scores.
        source: name kept with every crop.
        people: at most this many a frame.
        smallest: least box height in pixels.
        shortest: tracks of fewer frames are left out.
        first_track: number of the first track.
    """
    number = first_track
    live: list[_Track] = []
    for index, image in enumerate(images):
        found = np.asarray(detect(image), np.float64).reshape(-1, 5)
        found = found[(found[:, 4] > 0.45) & (found[:, 3] - found[:, 1] >= smallest)]
        found = found[np.argsort(-(found[:, 2] - found[:, 0]) * (found[:, 3] - found[:, 1]))[:people]]
        overlap = box_iou(np.array([t.box for t in live]).reshape(-1, 4), found[:, :4])
        kept, used = [], set()
        for row, track in enumerate(live):
            best = int(overlap[row].argmax()) if len(found) else -1
            if best >= 0 and overlap[row, best] > 0.5 and best not in used:
                used.add(best)
                track.box = 0.5 * track.box + 0.5 * found[best, :4]
                kept.append(track)
            elif len(track.rows) >= shortest:
                yield from _numbered(track, number)
                number += 1
        kept += [_Track(found[i, :4]) for i in range(len(found)) if i not in used]
        live = kept
        for track in live:
            person, origin = cut_person(image, track.box, source, picture_id=str(index))
            track.rows.append(TrackedPerson(person, -1, origin))
    for track in live:
        if len(track.rows) >= shortest:
            yield from _numbered(track, number)
            number += 1


def _numbered(track: _Track, number: int) -> Iterator[TrackedPerson]:
    for row in track.rows:
        yield replace(row, track=number)


def write_clip_pack(rows: Iterable[TrackedPerson], folder: Path, teacher: HeatmapTeacher | None = None) -> int:
    """Write a clip pack, as :func:`~vipose.models.data.pack.write_pack` does; returns the number of crops."""
    tracks: list[int] = []
    origins: list[npt.NDArray[np.floating]] = []

    def people() -> Iterator[Person]:
        for row in rows:
            tracks.append(row.track)
            origins.append(row.origin)
            yield row.person

    def columns() -> dict[str, npt.NDArray[Any]]:
        return {"track": np.array(tracks), "origin": np.array(origins).reshape(-1, 2, 3)}

    return write_pack(people(), folder, teacher, columns=columns)
