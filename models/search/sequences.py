"""Sequences that a temporal search validates on: consecutive crops of one person, with labels, without augmentation.

They come from clips that no training saw, or from held-out stills under a drifting camera. Boxes and warps are those that the
runtime would have: a crop for every frame, and heatmaps carried from one to the next.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch

from vipose.models.data.people import Camera, PackedPeople, View
from vipose.models.data.sequences import Clips
from vipose.models.data.targets import TEACHER_SIZE
from vipose.models.search.evaluate import Validation
from vipose.runtime.codec import decode_frame
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import FloatArray, compose, crop, crop_affine, warp_between
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["Sequences", "clip_windows", "drifting_stills"]

TEACHER_SCORE = 0.4
"""A teacher's joints count as labels from this score on."""
FEWEST = 5
"""Labelled joints that a person needs on a frame to count there."""
STAY = Camera(1.0, (0.0, 0.0), 0.0, False)


@dataclass(frozen=True)
class Sequences:
    """N sequences of F frames.

    Attributes:
        images: [N, F, H, W, 3] uint8.
        affines: [N, F, 2, 3], stored crop -> network input.
        warps: [N, F - 1, 2, 3], heatmap cells of a frame to cells of the next.
        labels: [N, F, K, 3] x, y, v in the pixels of the stored crop.
        areas: [N, F] of the people, square pixels of the stored crop.
        sources: [N] names, e.g. ``clip:dance``.
        skeleton: of the K joints.
    """

    images: npt.NDArray[np.uint8]
    affines: FloatArray
    warps: FloatArray
    labels: npt.NDArray[np.float32]
    areas: FloatArray
    sources: npt.NDArray[np.str_]
    skeleton: Skeleton = COCO17

    def __len__(self) -> int:
        return len(self.images)

    @property
    def frames(self) -> int:
        """F: the key frame and those after it."""
        return int(self.images.shape[1])

    @property
    def size(self) -> tuple[int, int]:
        """Width, height of the crops."""
        return int(self.images.shape[3]), int(self.images.shape[2])

    @property
    def counted(self) -> npt.NDArray[np.bool_]:
        """[N, F]: enough labelled joints to be scored."""
        return np.asarray((self.labels[..., 2] > 0).sum(-1) >= FEWEST)

    @property
    def digest(self) -> str:
        """12 hex digits that change with any pixel or label."""
        sha = hashlib.sha256()
        for array in (self.images, self.warps, self.labels):
            sha.update(np.ascontiguousarray(array).tobytes())
        return sha.hexdigest()[:12]

    def __add__(self, other: Sequences) -> Sequences:
        return _joined((self, other))

    def frame(self, t: int) -> Validation:
        """The labels of one frame, as the spatial search has them; everybody of :attr:`counted`."""
        rows = self.counted[:, t]
        return Validation(
            torch.from_numpy(self.images[rows, t]), self.affines[rows, t], self.labels[rows, t], self.areas[rows, t],
            self.sources[rows], self.skeleton,
        )  # fmt: skip


def clip_windows(
    clips: Clips, frames: int, count: int, size: tuple[int, int], stride: int = 1, *, leave: int = 0, only: int = 0
) -> Sequences:
    """Windows of tracks that do not overlap, spread evenly; labels are people's where there are any, else the teacher's.

    Args:
        clips: clip packs.
        frames: of a window, the key frame included.
        count: at most so many.
        size: width, height of the crops.
        stride: frames of the clip from one frame of a window to the next.
        leave: leave out one window in so many.
        only: take none but those that ``leave`` with the same number leaves out.

    Raises:
        InputError: no track is long enough.
    """
    reach = stride * (frames - 1)
    starts: list[int] = []
    for track in dict.fromkeys(clips.track.tolist()):
        rows = np.flatnonzero(clips.track == track)
        starts += rows[: max(len(rows) - reach, 0) : reach + 1].tolist()
    if not starts:
        raise InputError(f"no track of the clips has {reach + 1} frames; give longer clips, or a smaller --stride")
    if only:
        starts = starts[only - 1 :: only]
    elif leave:
        starts = [start for number, start in enumerate(starts, 1) if number % leave]
    kept = [starts[i] for i in np.unique(np.linspace(0, len(starts) - 1, min(count, len(starts))).round().astype(int))]
    made = []
    for start in kept:
        rows = start + stride * np.arange(frames)
        views = [STAY.look_at(clips.boxes[row], size) for row in rows]
        origins = [compose(view.affine, clips.origin[row]) for view, row in zip(views, rows, strict=True)]
        made.append(_sequence(clips, rows, views, origins, size))
    return _stack(made, frames, size, clips.skeleton)


def drifting_stills(
    people: PackedPeople, rows: Sequence[int] | npt.NDArray[np.intp], frames: int, size: tuple[int, int], seed: int = 0
) -> Sequences:
    """Labelled stills under a camera that drifts, zooms and turns a little, the same for the same seed.

    Args:
        people: packs.
        rows: which of them.
        frames: of a sequence.
        size: width, height of the crops.
        seed: of the drift.
    """
    rng = np.random.default_rng([seed, len(people)])
    made = []
    for row in rows:
        (dx, dy), zoom, turn = rng.normal(0, 0.02, 2), rng.normal(0, 0.015), rng.normal(0, 1.5)
        cameras = [Camera(float(np.exp(zoom * t)), (dx * t, dy * t), turn * t, False) for t in range(frames)]
        views = [camera.look_at(people.boxes[row], size) for camera in cameras]
        made.append(_sequence(people, np.full(frames, row), views, [v.affine for v in views], size))
    return _stack(made, frames, size, people.skeleton)


def _sequence(
    people: PackedPeople,
    rows: npt.NDArray[np.intp],
    views: list[View],
    origins: list[FloatArray],
    size: tuple[int, int],
) -> Sequences:
    """One sequence; ``origins`` map what all frames share to the network input."""
    images = [crop(people.images[row], view.affine, size) for row, view in zip(rows, views, strict=True)]
    heatmap = (size[0] // 4, size[1] // 4)
    warps = [warp_between(a, b, size, heatmap, "udp") for a, b in pairwise(origins)]
    return Sequences(
        np.asarray(images, np.uint8)[None],
        np.stack([view.affine for view in views])[None],
        np.stack(warps)[None],
        np.stack([_labels(people, int(row)) for row in rows])[None],
        people.area[rows].astype(np.float64)[None],
        people.source[rows[:1]].astype(str),
        people.skeleton,
    )


def _labels(people: PackedPeople, row: int) -> npt.NDArray[np.float32]:
    """[K, 3] x, y, v in the pixels of the stored crop."""
    if (people.gt[row, :, 2] > 0).any():
        return np.asarray(people.gt[row], np.float32)
    maps = people.teacher(row)
    if maps is None:
        return np.zeros((len(people.skeleton), 3), np.float32)
    affine = crop_affine(people.boxes[row], TEACHER_SIZE)
    found = decode_frame(np.asarray(maps[None], np.float32) / np.float32(255), affine[None], TEACHER_SIZE, "udp", blur=11)[0]
    return np.column_stack([found[:, :2], 2 * (found[:, 2] >= TEACHER_SCORE)]).astype(np.float32)


def _stack(made: Sequence[Sequences], frames: int, size: tuple[int, int], skeleton: Skeleton) -> Sequences:
    empty = Sequences(
        np.zeros((0, frames, size[1], size[0], 3), np.uint8),
        np.zeros((0, frames, 2, 3)),
        np.zeros((0, frames - 1, 2, 3)),
        np.zeros((0, frames, len(skeleton), 3), np.float32),
        np.zeros((0, frames)),
        np.zeros(0, "U1"),
        skeleton,
    )
    return _joined((empty, *made))


def _joined(parts: Sequence[Sequences]) -> Sequences:
    if any(part.skeleton != parts[0].skeleton for part in parts):
        raise InputError("clips and packs have different skeletons; give those of one skeleton")
    names = [f.name for f in fields(Sequences) if f.name != "skeleton"]
    arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Sequences(**arrays, skeleton=parts[0].skeleton)
