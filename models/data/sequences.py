"""Short sequences of one person for training propagation: windows of clips, and moving crops of stills.

A network that always gets a perfect prior learns to copy it. Clips bring real motion; stills get a moving camera and a
prior that is wrong on purpose: joints displaced by parts of a cell up to some cells, dropped, or all gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.augment import Augmentation, Camera, View, distort
from vipose.models.data.people import PackedPeople, read_index
from vipose.models.data.targets import TargetSpec
from vipose.runtime.errors import InputError
from vipose.runtime.geometry import compose, warp_between, warp_heatmaps
from vipose.runtime.skeleton import Skeleton

__all__ = ["Clips", "Sequence2D", "carry", "clip_sequence", "still_sequence"]

MOBILITY = {"elbow": 1.5, "knee": 1.5, "wrist": 2.2, "ankle": 2.2}
"""How much more than the trunk joints move from frame to frame."""
MOTION = 0.001, 0.04
"""Slowest and fastest spread of a trunk joint's displacement in one frame, as a share of the crop's width.

Drawn evenly in the logarithm. People who are filmed at 25 to 30 frames a second move little in most frames: in six of our clips
the median of all joints was 0.7 % of the width, 5 % were above 5 %. Networks that were taught with larger displacements, of whole
cells, learned to distrust the prior: on slow clips they were further off than the last frame's keypoints."""


@dataclass(frozen=True)
class Sequence2D:
    """T + 1 frames of one person.

    Attributes:
        images: [T + 1, H, W, 3] uint8.
        distribution: [T, K, h, w] float32 targets of frames 1..T, of the kind that was asked for.
        weight: [T, K] float32.
        warp: [T, 2, 3] float64, heatmap cells of frame t - 1 to cells of frame t.
        shift: [T, K, 2] float32, cells by which the warped prior of each joint is displaced.
        keep: [T, K] float32, 0 where the prior of a joint is dropped.
    """

    images: npt.NDArray[np.uint8]
    distribution: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]
    warp: npt.NDArray[np.float64]
    shift: npt.NDArray[np.float32]
    keep: npt.NDArray[np.float32]


class Clips(PackedPeople):
    """Clip packs in memory, with the windows of T + 1 consecutive frames at stride 1 or 2.

    Attributes:
        track: [N] number of the person, unique over all packs.
        origin: [N, 2, 3] frame -> stored crop.

    Raises:
        InputError: a folder is no pack, or one of stills.
    """

    def __init__(self, folders: Sequence[Path], memory_mib: int = 8192) -> None:
        super().__init__(folders, memory_mib)
        tracks, origins, base = [], [], 0
        for folder in folders:
            index = read_index(folder)
            if "track" not in index or "origin" not in index:
                raise InputError(
                    f"{folder} is a pack of stills, without tracks; make one of clips with 'vipose train pack --videos'"
                    " or '--posetrack'"
                )
            tracks.append(index["track"] + base)
            origins.append(index["origin"])
            base += int(index["track"].max(initial=0)) + 1
        self.track, self.origin = np.concatenate(tracks), np.concatenate(origins)
        self._longest = int(np.unique(self.track, return_counts=True)[1].max(initial=0))

    def window(self, length: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
        """Rows of a random window of one track; short tracks give stride 1.

        Raises:
            InputError: no track is that long.
        """
        if length > self._longest:
            raise InputError(
                f"no track of the clips has {length} frames (the longest has {self._longest}); give longer clips or a "
                "smaller T"
            )
        while True:
            row = int(rng.integers(0, len(self)))
            stride = 2 if rng.random() < 0.35 else 1
            rows = row + stride * np.arange(length)
            if rows[-1] < len(self) and self.track[rows[-1]] == self.track[row]:
                return rows


def clip_sequence(
    clips: Clips,
    rows: npt.NDArray[np.intp],
    size: tuple[int, int],
    target: TargetSpec | float,
    strength: Augmentation,
    rng: np.random.Generator,
) -> Sequence2D:
    """A window of a clip; one augmentation for all its frames, and the small box jitter that a tracker has.

    ``target`` is a :class:`TargetSpec`, or the sigma of distributions in cells.
    """
    # The person moves within the crop anyway: the camera is held closer than for stills.
    low, high = strength.scale
    scale = max(low, min(0.8, high)), min(high, max(1.25, low))
    camera = Camera.draw(replace(strength, shift=min(strength.shift, 0.06), scale=scale), rng)
    views, frame_affines = [], []
    for row in rows:
        jitter = rng.normal(0, 0.012, 3)
        moved = replace(
            camera, scale=camera.scale * (1 + jitter[0]), shift=(camera.shift[0] + jitter[1], camera.shift[1] + jitter[2])
        )
        view = moved.look_at(clips.boxes[row], size)
        views.append(view)
        frame_affines.append(compose(view.affine, clips.origin[row]))
    return _assemble(clips, rows, views, frame_affines, size, target, strength, rng, spoil=0.15)


def still_sequence(
    people: PackedPeople,
    row: int,
    length: int,
    size: tuple[int, int],
    target: TargetSpec | float,
    strength: Augmentation,
    rng: np.random.Generator,
) -> Sequence2D:
    """A still under a camera that drifts; the prior is spoilt as if the limbs had moved. ``target`` as for clips."""
    camera = Camera.draw(strength, rng)
    drift, zoom, turn = rng.normal(0, 0.02, 2), rng.normal(0, 0.015), rng.normal(0, 1.5)
    views = []
    for t in range(length):
        moved = replace(
            camera,
            scale=camera.scale * float(np.exp(zoom * t)),
            shift=(camera.shift[0] + float(drift[0]) * t, camera.shift[1] + float(drift[1]) * t),
            rotation=camera.rotation + float(turn) * t,
        )
        views.append(moved.look_at(people.boxes[row], size))
    rows = np.full(length, row)
    return _assemble(people, rows, views, [v.affine for v in views], size, target, strength, rng, spoil=0.9)


def _assemble(
    people: PackedPeople,
    rows: npt.NDArray[np.intp],
    views: list[View],
    affines: Sequence[npt.NDArray[np.floating]],
    size: tuple[int, int],
    target: TargetSpec | float,
    strength: Augmentation,
    rng: np.random.Generator,
    spoil: float,
) -> Sequence2D:
    heatmap = (size[0] // 4, size[1] // 4)
    seed = int(rng.integers(2**31))
    images, distributions, weights, warps = [], [], [], []
    for t, (row, view) in enumerate(zip(rows, views, strict=True)):
        cut = cv2.warpAffine(people.images[row], view.affine, size, flags=cv2.INTER_LINEAR)
        # The same seed on every frame: colours and erased patches stay put within a sequence.
        images.append(distort(np.asarray(cut, np.uint8), strength, np.random.default_rng(seed)))
        if t == 0:
            continue
        answer = people.targets(int(row), view, size, target)
        distributions.append(answer.distribution)
        weights.append(answer.weight)
        warps.append(warp_between(affines[t - 1], affines[t], size, heatmap, "udp"))
    steps = len(rows) - 1
    shift, keep = _spoilt_prior(steps, heatmap[0], spoil, people.skeleton, rng)
    return Sequence2D(
        np.stack(images), np.stack(distributions), np.stack(weights), np.stack(warps), shift, keep
    )


def _spoilt_prior(
    steps: int, width: int, probability: float, skeleton: Skeleton, rng: np.random.Generator
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Displacements in cells and a keep mask; limbs move more than the trunk and the whole body moves too."""
    joints = len(skeleton)
    keep = np.ones((steps, joints), np.float32)
    shift = np.zeros((steps, joints, 2), np.float32)
    if rng.random() < probability:
        spread = np.exp(rng.uniform(*np.log(MOTION))) * width
        mobility = np.array([MOBILITY.get(name.split("_")[-1], 1.0) for name in skeleton.joints])
        body, limbs = rng.normal(0, spread * 0.6, (steps, 1, 2)), rng.normal(0, spread, (steps, joints, 2))
        shift = (body + limbs * mobility[:, None]).astype(np.float32)
        keep[rng.random((steps, joints)) < 0.06] = 0
        if rng.random() < 0.04:
            keep[rng.integers(steps)] = 0
    return shift, keep


def carry(
    heatmaps: npt.NDArray[np.float32],
    warp: npt.NDArray[np.float64],
    shift: npt.NDArray[np.float32],
    keep: npt.NDArray[np.float32],
) -> npt.NDArray[np.float32]:
    """Heatmaps [K, h, w] of the last frame as the prior of the next: warped as in the runtime, then spoilt."""
    if not shift.any():
        return warp_heatmaps(heatmaps, warp) * keep[:, None, None]
    prior = np.zeros_like(heatmaps)
    for joint in np.flatnonzero(keep):
        moved = warp.copy()
        moved[:, 2] += shift[joint]
        prior[joint] = warp_heatmaps(heatmaps[joint : joint + 1], moved)[0]
    return prior
