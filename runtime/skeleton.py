"""Skeletons as data: joint names, mirror pairs, limbs and OKS sigmas."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["COCO17", "MPII16", "SKELETONS", "Skeleton"]


@dataclass(frozen=True)
class Skeleton:
    """One set of joints.

    Attributes:
        name: key in :data:`SKELETONS` and in graph metadata.
        joints: names in order; ``left_x`` and ``right_x`` are mirror images of each other.
        limbs: pairs of joint indices to draw.
        sigmas: per-joint OKS constants (COCO: 0.026 for the nose to 0.107 for the hips).
        flip: index of each joint's mirror image (itself where it has none); derived.
    """

    name: str
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]
    sigmas: tuple[float, ...]
    flip: tuple[int, ...] = field(init=False)

    def __post_init__(self) -> None:
        swap = {"left_": "right_", "right_": "left_"}
        flip: list[int] = []
        for name in self.joints:
            prefix = name[: name.find("_") + 1]
            flip.append(self.joints.index(swap[prefix] + name[len(prefix):]) if prefix in swap else len(flip))
        object.__setattr__(self, "flip", tuple(flip))

    def __len__(self) -> int:
        return len(self.joints)

    def index(self, joint: str) -> int:
        """Position of a joint name; raises ValueError when the skeleton has none."""
        return self.joints.index(joint)

    @property
    def pairs(self) -> tuple[tuple[int, int], ...]:
        """Mirror pairs (left, right), each once, in the order of the joints."""
        return tuple((i, j) for i, j in enumerate(self.flip) if i < j)

    def side(self, joint: int) -> str:
        """``left``, ``right`` or ``centre`` of a joint index."""
        prefix = self.joints[joint].split("_")[0]
        return prefix if prefix in ("left", "right") else "centre"

    def variances(self) -> npt.NDArray[np.float64]:
        """OKS variances (2 sigma)^2, [K]."""
        return (2 * np.asarray(self.sigmas, np.float64)) ** 2


COCO17 = Skeleton(
    "coco17",
    (
        "nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow",
        "right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee",
        "left_ankle", "right_ankle",
    ),
    (
        (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (7, 9), (6, 8), (8, 10),
        (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
    ),
    (
        0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087, 0.087,
        0.089, 0.089,
    ),
)  # fmt: skip

MPII16 = Skeleton(
    "mpii16",
    (
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist",
    ),
    (
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9), (10, 11), (11, 12), (12, 7),
        (7, 13), (13, 14), (14, 15),
    ),
    (
        0.089, 0.087, 0.107, 0.107, 0.087, 0.089, 0.107, 0.079, 0.026, 0.026, 0.062, 0.072, 0.079, 0.079, 0.072,
        0.062,
    ),
)  # fmt: skip

SKELETONS = {s.name: s for s in (COCO17, MPII16)}
