"""Average precision of each joint over a sequence, as PoseTrack scores it (Andriluka et al., CVPR 2018).

Poses are paired with labelled people first; then every joint is a detection of its own. It is right when it lies within the
limit of its partner's label; joints of poses without a partner are wrong; joints whose label is absent do not count.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

__all__ = ["JointAP", "average_precision"]

FloatArray = npt.NDArray[np.floating]


def average_precision(scores: FloatArray, right: npt.NDArray[np.bool_], labels: int) -> float | None:
    """Area under the precision-recall curve, precision made to fall (VOC 2010); None without labels.

    Args:
        scores: [N] of the detections.
        right: [N].
        labels: how many there are to find.
    """
    if labels == 0:
        return None
    order = np.argsort(-np.asarray(scores), kind="stable")
    hits = np.cumsum(np.asarray(right, bool)[order])
    precision = hits / np.arange(1, len(order) + 1)
    recall = np.concatenate([[0.0], hits / labels])
    best = np.maximum.accumulate(precision[::-1])[::-1]
    return float((np.diff(recall) * best).sum())


class JointAP:
    """Collects frames; :meth:`scores` gives AP by joint.

    Args:
        joints: K.
    """

    def __init__(self, joints: int) -> None:
        self._scores: list[list[float]] = [[] for _ in range(joints)]
        self._right: list[list[bool]] = [[] for _ in range(joints)]
        self._labels = np.zeros(joints, np.int64)

    def add(
        self, poses: FloatArray, truth: FloatArray, limits: FloatArray, pairs: Sequence[tuple[int, int]]
    ) -> None:
        """Add one frame.

        Args:
            poses: [P, K, 3] x, y, score.
            truth: [G, K, 3] x, y, v.
            limits: [G] largest distance of a right joint, pixels.
            pairs: (person, pose) indices, one-to-one.
        """
        self._labels += (truth[..., 2] > 0).sum(0).astype(np.int64)
        partner = {pose: person for person, pose in pairs}
        for number, pose in enumerate(poses):
            person = partner.get(number)
            for k, (x, y, score) in enumerate(pose):
                if person is None:
                    self._append(k, score, False)
                elif truth[person, k, 2] > 0:
                    distance = np.hypot(x - truth[person, k, 0], y - truth[person, k, 1])
                    self._append(k, score, bool(distance <= limits[person]))

    def _append(self, joint: int, score: float, right: bool) -> None:
        self._scores[joint].append(float(score))
        self._right[joint].append(right)

    def scores(self) -> tuple[float | None, ...]:
        """AP of each joint; None for a joint that is never labelled."""
        rows = zip(self._scores, self._right, self._labels, strict=True)
        return tuple(average_precision(np.array(s), np.array(r, bool), int(n)) for s, r, n in rows)
