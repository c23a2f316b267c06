"""Packed people in memory, and how one augmented training sample is made from a person.

Picture and teacher heatmaps are warped by the same affine with OpenCV, so a sample costs one picture warp and one
17-channel heatmap warp; targets are distributions over heatmap cells (they sum to one for each joint).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from vipose.models.data.pack import decode_rgb
from vipose.runtime.codec import encode_gaussian
from vipose.runtime.geometry import apply_affine, compose, crop_affine, heatmap_scale, invert
from vipose.runtime.skeleton import COCO17

__all__ = ["Augmentation", "Camera", "PackedPeople", "Targets", "View", "distort", "random_view", "render", "targets"]

FLIP = list(COCO17.flip)
TEACHER_SIZE, TEACHER_MAP = (192, 256), (48, 64)
_TO_MAP = heatmap_scale(TEACHER_SIZE, TEACHER_MAP, "udp")


@dataclass(frozen=True)
class Augmentation:
    """Strengths of augmentation; probabilities in 0..1, angles in degrees, shifts as a share of the box."""

    rotate: float = 30.0
    rotate_probability: float = 0.5
    scale: tuple[float, float] = (0.75, 1.3)
    shift: float = 0.1
    half_body: float = 0.15
    flip: float = 0.5
    colour: float = 0.3
    grey: float = 0.05
    blur: float = 0.1
    erase: float = 0.15


class PackedPeople:
    """All people of one or more packs, decoded into memory.

    Attributes:
        images: [h, w, 3] uint8 RGB crops, coordinates of labels are theirs.
        boxes: [N, 4] float32 x0 y0 x1 y1.
        gt: [N, 17, 3] float32 x, y, v.
        teacher: [N, 17, 64, 48] uint8 heatmaps x 255 on the crop of ``crop_affine(box, (192, 256))``.
        source: [N] names.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.images: list[npt.NDArray[np.uint8]] = []
        boxes, gts, sources, teachers = [], [], [], []
        for folder in folders:
            with np.load(folder / "index.npz") as index:
                offsets, blob = index["offsets"], np.fromfile(folder / "crops.bin", np.uint8)
                boxes.append(index["box"])
                gts.append(index["gt"])
                sources.append(index["source"])
            for start, end in pairwise(offsets.tolist()):
                self.images.append(decode_rgb(blob[start:end]))
            teachers.append(np.load(folder / "heatmaps.npy", mmap_mode="r"))
        self.boxes, self.gt = np.concatenate(boxes), np.concatenate(gts)
        self.source = np.concatenate(sources)
        self._teachers = teachers
        self._starts = np.cumsum([0] + [len(t) for t in teachers])

    def __len__(self) -> int:
        return len(self.images)

    def teacher(self, index: int) -> npt.NDArray[np.uint8]:
        """Teacher heatmaps [17, 64, 48] uint8 of one person."""
        pack = int(np.searchsorted(self._starts, index, side="right")) - 1
        return np.asarray(self._teachers[pack][index - self._starts[pack]])

    def weights(self, by_source: dict[str, float]) -> npt.NDArray[np.float64]:
        """Sampling probability [N] by source name up to a colon (``clip:dance`` is ``clip``); unnamed ones count 1."""
        weight = np.array([by_source.get(str(s).split(":")[0], 1.0) for s in self.source])
        return np.asarray(weight / weight.sum())


@dataclass(frozen=True)
class View:
    """Where a sample looks: affine from the stored crop to the network input, and whether it is mirrored."""

    affine: npt.NDArray[np.floating]
    mirrored: bool


@dataclass(frozen=True)
class Camera:
    """A view relative to a box: scale factor, shift as a share of the box side, rotation in degrees, mirrored."""

    scale: float
    shift: tuple[float, float]
    rotation: float
    mirrored: bool

    @classmethod
    def draw(cls, strength: Augmentation, rng: np.random.Generator) -> Camera:
        """Draw one at random."""
        turned = rng.random() < strength.rotate_probability
        bound = 2 * strength.rotate
        rotation = float(np.clip(rng.normal(0, strength.rotate), -bound, bound)) if turned else 0.0
        shift = rng.uniform(-strength.shift, strength.shift, 2)
        scale = float(rng.uniform(*strength.scale))
        return cls(scale, (float(shift[0]), float(shift[1])), rotation, bool(rng.random() < strength.flip))

    def look_at(self, box: npt.NDArray[np.floating], size: tuple[int, int]) -> View:
        """The view of a box x0 y0 x1 y1 for a network input of ``size`` (width, height)."""
        w, h = box[2] - box[0], box[3] - box[1]
        side = max(float(w), float(h) * 0.75)
        centre = (box[:2] + box[2:]) / 2 + np.array(self.shift) * [side, side / 0.75]
        half = np.array([w, h]) / 2 * self.scale
        affine = crop_affine(np.concatenate([centre - half, centre + half]), size, rotation=self.rotation)
        return View(mirror(affine, size[0]) if self.mirrored else affine, self.mirrored)


def random_view(
    box: npt.NDArray[np.float32],
    known: npt.NDArray[np.float32],
    size: tuple[int, int],
    strength: Augmentation,
    rng: np.random.Generator,
) -> View:
    """Draw a view of a person, sometimes of the upper or lower half only.

    Args:
        box: x0 y0 x1 y1 in the stored crop.
        known: [M, 3] joints (x, y, index) that may guide a half-body view.
        size: width, height of the network input.
    """
    if rng.random() < strength.half_body and len(known) >= 8:
        upper = known[known[:, 2] < 11]
        lower = known[known[:, 2] >= 11]
        part = upper if (rng.random() < 0.7 and len(upper) > 2) or len(lower) < 3 else lower
        low, high = part[:, :2].min(0), part[:, :2].max(0)
        grow = 0.2 * (high - low) + 2
        box = np.concatenate([low - grow, high + grow]).astype(np.float32)
    return Camera.draw(strength, rng).look_at(box, size)


def mirror(affine: npt.NDArray[np.floating], width: int) -> npt.NDArray[np.floating]:
    """The affine followed by a left-right mirror of the input."""
    return compose(np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]]), affine)


def render(
    image: npt.NDArray[np.uint8], view: View, size: tuple[int, int], strength: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """The augmented network input [h, w, 3] uint8 of a view."""
    out = np.asarray(cv2.warpAffine(image, view.affine, size, flags=cv2.INTER_LINEAR), np.uint8)
    return distort(out, strength, rng)


def distort(
    image: npt.NDArray[np.uint8], strength: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Colour, grey, blur and erased patches on a copy of [h, w, 3] uint8."""
    h, w = image.shape[:2]
    gain = rng.uniform(1 - strength.colour, 1 + strength.colour) * rng.uniform(0.88, 1.12, 3)
    bias = rng.uniform(-40, 40) * strength.colour / 0.35
    table = (np.arange(256, dtype=np.float32)[:, None] * gain + bias).clip(0, 255).astype(np.uint8)
    out = np.asarray(cv2.LUT(image, table.reshape(256, 1, 3)), np.uint8)
    if rng.random() < strength.grey:
        out = np.repeat(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    if rng.random() < strength.blur:
        factor = rng.uniform(1.5, 4)
        small = cv2.resize(out, (max(8, int(w / factor)), max(8, int(h / factor))), interpolation=cv2.INTER_LINEAR)
        out = np.asarray(cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR), np.uint8)
    if rng.random() < strength.erase:
        out = out.copy()
        for _ in range(rng.integers(1, 3)):
            eh, ew = int(rng.uniform(0.08, 0.3) * h), int(rng.uniform(0.08, 0.35) * w)
            y, x = rng.integers(0, h - eh), rng.integers(0, w - ew)
            out[y: y + eh, x: x + ew] = rng.integers(0, 256, 3)
    return out


@dataclass(frozen=True)
class Targets:
    """``distribution`` [17, h, w] float32, each joint sums to 1; ``weight`` [17] float32, 0 = no loss."""

    distribution: npt.NDArray[np.float32]
    weight: npt.NDArray[np.float32]


def targets(
    gt: npt.NDArray[np.float32],
    teacher: npt.NDArray[np.uint8],
    box: npt.NDArray[np.float32],
    view: View,
    size: tuple[int, int],
    heatmap: tuple[int, int],
    sigma: float,
) -> Targets:
    """Targets of one view: people's labels first, blended with a teacher that agrees; the teacher alone elsewhere.

    Joints that neither knows learn a flat map with a small weight, so that their score falls.
    """
    to_map = compose(heatmap_scale(size, heatmap, "udp"), view.affine)
    joints = gt[FLIP] if view.mirrored else gt
    points = apply_affine(to_map, joints[:, :2])
    w, h = heatmap
    inside = (joints[:, 2] > 0) & (points >= -0.5).all(1) & (points[:, 0] < w - 0.5) & (points[:, 1] < h - 0.5)
    soft = warp_teacher(teacher, box, to_map, heatmap, view.mirrored)
    peak = soft.max((1, 2))
    soft = np.maximum(soft - 0.06, 0)
    mass = soft.sum((1, 2))
    sure = (peak > 0.25) & (mass > 0.5)
    soft /= np.maximum(mass, 1e-6)[:, None, None]
    hard = encode_gaussian(points, heatmap, sigma)
    agrees = sure & ((soft * (hard > 0.14)).sum((1, 2)) > 0.3)
    hard /= np.maximum(hard.sum((1, 2)), 1e-6)[:, None, None]
    share = np.where(inside, np.where(agrees, 0.4, 0.0), 1.0)[:, None, None].astype(np.float32)
    distribution = (1 - share) * hard + share * soft
    weight = np.where(inside, 1.0, np.where(sure, np.minimum(peak, 1.0), 0.0)).astype(np.float32)
    absent = ~inside & (peak < 0.12)
    distribution[absent] = 1.0 / (w * h)
    weight[absent] = 0.05
    return Targets(distribution.astype(np.float32), weight)


def warp_teacher(
    teacher: npt.NDArray[np.uint8],
    box: npt.NDArray[np.float32],
    to_map: npt.NDArray[np.floating],
    heatmap: tuple[int, int],
    mirrored: bool,
) -> npt.NDArray[np.float32]:
    """Teacher heatmaps [17, h, w] float32 on the cells of a view."""
    stored = compose(_TO_MAP, crop_affine(box, TEACHER_SIZE))
    image = np.ascontiguousarray(teacher.transpose(1, 2, 0))
    warped = cv2.warpAffine(image, compose(to_map, invert(stored)), heatmap, flags=cv2.INTER_LINEAR)
    maps = warped.transpose(2, 0, 1).astype(np.float32) / 255
    return np.asarray(maps[FLIP] if mirrored else maps, np.float32)
