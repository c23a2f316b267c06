"""Augmentation: where a training sample looks at a stored crop, and what is done to its pixels.

Recipes are values of one dataclass; :data:`AUGMENTATIONS` has them by name.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from statistics import NormalDist
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import PAD, compose, crop_affine
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = [
    "AUGMENTATIONS",
    "Augmentation",
    "Camera",
    "View",
    "augmentation",
    "distort",
    "half_body_box",
    "mirror",
    "paste",
    "random_view",
    "render",
]

Law = Literal["uniform", "normal", "clipped", "truncated"]
LOWER_BODY = ("pelvis", "hip", "knee", "ankle")
"""These joints, of either side, are the lower body; all others the upper."""
_WITHIN_ONE_SD = NormalDist().cdf(-1), NormalDist().cdf(1)


@dataclass(frozen=True)
class Augmentation:
    """Strengths of augmentation.

    Laws: ``uniform`` between two bounds; ``normal`` with half their distance as standard deviation, clipped at two of
    them; ``clipped``: the same, clipped at the bounds; ``truncated``: the part of the normal law that lies within them.

    Attributes:
        rotate: degrees to either side.
        rotate_probability, shift_probability, flip, half_body: probabilities, 0..1.
        scale: least and largest factor of the box.
        shift: share of the box to either side.
        shift_on: the box that a shift is a share of: ``fitted`` to the aspect ratio of the input, or ``padded`` and
            otherwise as it is.
        rotate_law: of the angle.
        box_law: of scale and shift.
        half_body_joints: least labelled joints of a person who may be cut in half.
        half_body_upper: probability that the upper body is preferred where both are there.
        half_body_parts: least joints of the upper and of the lower body.
        half_body_grow: what is added on every side of the part: share of its extent, and pixels (padding comes on top).
        half_body_centre: middle of the new box, the part's ``extent`` or the ``mean`` of its joints.
        colour: gain of brightness and of channels, and bias, as a share; 0 leaves colours alone.
        grey, blur, erase: probabilities of a grey picture, of low resolution, of erased patches.
        paste: probability that a piece of another person's crop hides a part of this one.

    Raises:
        UsageError: a probability outside 0..1, or bounds in the wrong order.
    """

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
    paste: float = 0.0
    rotate_law: Law = "normal"
    box_law: Law = "uniform"
    shift_probability: float = 1.0
    shift_on: Literal["fitted", "padded"] = "fitted"
    half_body_joints: int = 8
    half_body_upper: float = 0.7
    half_body_parts: tuple[int, int] = (3, 3)
    half_body_grow: tuple[float, float] = (0.2, 2.0)
    half_body_centre: Literal["extent", "mean"] = "extent"

    def __post_init__(self) -> None:
        chances = [f.name for f in fields(self) if f.name.endswith("_probability")]
        for name in (*chances, "flip", "half_body", "half_body_upper", "grey", "blur", "erase", "paste"):
            if not 0 <= getattr(self, name) <= 1:
                raise UsageError(f"augmentation {name} {getattr(self, name)} is no probability; give 0 to 1")
        if not 0 < self.scale[0] <= self.scale[1]:
            raise UsageError(f"augmentation scale {self.scale} is no range; give two factors above 0, the least first")
        if min(self.rotate, self.shift, self.colour) < 0:
            raise UsageError("augmentation rotate, shift and colour are strengths; give 0 or more")


_GEOMETRY = Augmentation(colour=0.0, grey=0.0, blur=0.0, erase=0.0)
_HRNET = replace(
    _GEOMETRY, rotate_probability=0.6, box_law="clipped", shift=0.0, half_body=0.3, half_body_joints=9, half_body_upper=0.69,
    half_body_grow=((1.5 / PAD - 1) / 2, 0.0), half_body_centre="mean",
)  # fmt: skip
"""The code of HRNet (Sun et al. 2019), which EfficientPose's and PoseNAS's come from; its half-body boxes are as mmpose's."""
AUGMENTATIONS = {
    "default": Augmentation(),
    # For networks that know their people by heart: further turns and scales, worse pictures, people in front of people.
    "strong": Augmentation(
        rotate=40, rotate_probability=0.6, scale=(0.65, 1.4), shift=0.12, half_body=0.2, colour=0.4, grey=0.08, blur=0.25,
        erase=0.2, paste=0.35,
    ),
    # ViPNAS (Xu et al. 2021), section 4.2: "random rotation ([-40, 40]) and random flip".
    "vipnas": replace(
        _GEOMETRY, rotate=40, rotate_probability=1.0, rotate_law="uniform", scale=(1.0, 1.0), shift=0.0, half_body=0.0
    ),
    # mmpose 1.x, td-hm_vipnas: RandomFlip, RandomHalfBody and RandomBBoxTransform with their defaults. Its half-body
    # boxes are 1.5 times the part's extent and are not padded again: 1 + 2 x 0.1 times the padding of every crop.
    "mmpose": replace(
        _GEOMETRY, rotate=60, rotate_probability=0.6, rotate_law="truncated", scale=(0.75, 1.25), box_law="truncated",
        shift=0.16, shift_probability=0.3, shift_on="padded", half_body=0.3, half_body_joints=9,
        half_body_parts=(2, 3), half_body_grow=((1.5 / PAD - 1) / 2, 0.0), half_body_centre="mean",
    ),
    "efficientpose-coco": replace(_HRNET, rotate=45, scale=(0.65, 1.35)),
    "posenas-coco": replace(_HRNET, rotate=40, scale=(0.7, 1.3)),
    "mpii": replace(_HRNET, rotate=30, scale=(0.75, 1.25), half_body=0.0),
}  # fmt: skip


def augmentation(name: str) -> Augmentation:
    """A recipe of :data:`AUGMENTATIONS`; raises UsageError for a name that is not there."""
    if name not in AUGMENTATIONS:
        raise UsageError(f"there is no augmentation '{name}'; choose from {', '.join(AUGMENTATIONS)}")
    return AUGMENTATIONS[name]


def _between(law: Law, low: float, high: float, rng: np.random.Generator) -> float:
    """Draw by a law of :class:`Augmentation`."""
    if law == "uniform":
        return float(rng.uniform(low, high))
    middle, half = (low + high) / 2, (high - low) / 2
    if law in ("normal", "clipped"):
        reach = 2 * half if law == "normal" else half
        return float(np.clip(rng.normal(middle, half), middle - reach, middle + reach))
    return middle + half * NormalDist().inv_cdf(float(rng.uniform(*_WITHIN_ONE_SD)))


@dataclass(frozen=True)
class View:
    """Where a sample looks: affine from the stored crop to the network input, and whether it is mirrored."""

    affine: npt.NDArray[np.floating]
    mirrored: bool


@dataclass(frozen=True)
class Camera:
    """A view relative to a box: scale factor, shift as a share of the box side, rotation in degrees, mirrored.

    ``shift_on`` is that of :class:`Augmentation`.
    """

    scale: float
    shift: tuple[float, float]
    rotation: float
    mirrored: bool
    shift_on: Literal["fitted", "padded"] = "fitted"

    @classmethod
    def draw(cls, strength: Augmentation, rng: np.random.Generator) -> Camera:
        """Draw one at random."""
        turned = rng.random() < strength.rotate_probability
        rotation = _between(strength.rotate_law, -strength.rotate, strength.rotate, rng) if turned else 0.0
        # What always happens draws no number for its probability: the default recipe keeps its random stream.
        moved = strength.shift_probability >= 1 or rng.random() < strength.shift_probability
        bound = strength.shift if moved else 0.0
        across, down = (_between(strength.box_law, -bound, bound, rng) for _ in range(2))
        scale = _between(strength.box_law, *strength.scale, rng)
        return cls(scale, (across, down), rotation, bool(rng.random() < strength.flip), strength.shift_on)

    def look_at(self, box: npt.NDArray[np.floating], size: tuple[int, int]) -> View:
        """The view of a box x0 y0 x1 y1 for a network input of ``size`` (width, height)."""
        w, h = box[2] - box[0], box[3] - box[1]
        if self.shift_on == "fitted":
            aspect = size[0] / size[1]
            side = max(float(w), float(h) * aspect)
            sides = np.array([side, side / aspect])
        else:
            sides = np.array([w, h], np.float64) * PAD
        centre = (box[:2] + box[2:]) / 2 + np.array(self.shift) * sides
        half = np.array([w, h]) / 2 * self.scale
        affine = crop_affine(np.concatenate([centre - half, centre + half]), size, rotation=self.rotation)
        return View(mirror(affine, size[0]) if self.mirrored else affine, self.mirrored)


def random_view(
    box: npt.NDArray[np.float32],
    known: npt.NDArray[np.float32],
    size: tuple[int, int],
    strength: Augmentation,
    rng: np.random.Generator,
    skeleton: Skeleton = COCO17,
) -> View:
    """Draw a view of a person, sometimes of the upper or lower half only.

    Args:
        box: x0 y0 x1 y1 in the stored crop.
        known: [M, 3] joints (x, y, index) that may guide a half-body view.
        size: width, height of the network input.
        strength: what to draw from.
        rng: source of chance.
        skeleton: which joints the indices mean.
    """
    if rng.random() < strength.half_body and len(known) >= strength.half_body_joints:
        box = half_body_box(known, strength, rng, skeleton)
    return Camera.draw(strength, rng).look_at(box, size)


def half_body_box(
    known: npt.NDArray[np.float32], strength: Augmentation, rng: np.random.Generator, skeleton: Skeleton = COCO17
) -> npt.NDArray[np.float32]:
    """A box [4] around the upper or the lower half of the joints [M, 3] (x, y, index), whichever has enough of them."""
    below = np.isin(known[:, 2], [k for k, name in enumerate(skeleton.joints) if name.split("_")[-1] in LOWER_BODY])
    upper, lower = known[~below], known[below]
    least_upper, least_lower = strength.half_body_parts
    preferred = rng.random() < strength.half_body_upper and len(upper) >= least_upper
    part = upper if preferred or len(lower) < least_lower else lower
    low, high = part[:, :2].min(0), part[:, :2].max(0)
    if strength.half_body_centre == "mean":
        move = part[:, :2].mean(0) - (low + high) / 2
        low, high = low + move, high + move
    share, pixels = strength.half_body_grow
    grow = share * (high - low) + pixels
    return np.concatenate([low - grow, high + grow]).astype(np.float32)


def mirror(affine: npt.NDArray[np.floating], width: int) -> npt.NDArray[np.floating]:
    """The affine followed by a left-right mirror of the input."""
    return compose(np.array([[-1.0, 0.0, width - 1.0], [0.0, 1.0, 0.0]]), affine)


def render(
    image: npt.NDArray[np.uint8],
    view: View,
    size: tuple[int, int],
    strength: Augmentation,
    rng: np.random.Generator,
    other: npt.NDArray[np.uint8] | None = None,
) -> npt.NDArray[np.uint8]:
    """The augmented network input [h, w, 3] uint8 of a view; a piece of ``other`` is pasted into it where one is given."""
    out = np.asarray(cv2.warpAffine(image, view.affine, size, flags=cv2.INTER_LINEAR), np.uint8)
    if other is not None:
        paste(out, other, rng)
    return distort(out, strength, rng)


def paste(image: npt.NDArray[np.uint8], other: npt.NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Put a piece of another picture [h, w, 3], as wide and high as 15 to 45 % of this one, somewhere into this one."""
    h, w = image.shape[:2]
    high, wide = (max(1, int(side * rng.uniform(0.15, 0.45))) for side in (h, w))
    zoom = rng.uniform(0.5, 1.0) * min(other.shape[0] / high, other.shape[1] / wide)
    region = max(1, int(high * zoom)), max(1, int(wide * zoom))
    top, left = (int(rng.integers(0, whole - part + 1)) for whole, part in zip(other.shape, region, strict=False))
    y, x = int(rng.integers(0, h - high + 1)), int(rng.integers(0, w - wide + 1))
    piece = other[top : top + region[0], left : left + region[1]]
    image[y : y + high, x : x + wide] = cv2.resize(piece, (wide, high), interpolation=cv2.INTER_AREA)


def distort(
    image: npt.NDArray[np.uint8], strength: Augmentation, rng: np.random.Generator
) -> npt.NDArray[np.uint8]:
    """Colour, grey, blur and erased patches; [h, w, 3] uint8, the argument is left as it is."""
    h, w = image.shape[:2]
    out = image
    if strength.colour > 0:
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
