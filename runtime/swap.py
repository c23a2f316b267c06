"""Left/right correction over time: networks exchange sides for a few frames, people do not.

Each pose is compared with the one predicted from the frames before. When exchanging a group of mirror pairs (the whole body,
arms, legs, …) brings it clearly closer, the group is exchanged. The prediction itself may be wrong (the first frames were
exchanged, or the person turned unseen): when key frames keep contradicting it for a while, they win.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import FloatArray
from vipose.runtime.skeleton import COCO17, Skeleton

__all__ = ["SwapConfig", "SwapCorrector", "swap_groups"]

_ARMS, _LEGS = ("shoulder", "elbow", "wrist"), ("hip", "knee", "ankle")


@dataclass(frozen=True)
class SwapConfig:
    """When sides are exchanged. Distances are shares of the person's size, the root of the box's area.

    Attributes:
        closer: exchanged joints must come this much closer to the prediction, on average …
        share: … and their mean distance fall at least to this share.
        reach: larger distances count as this one, so that one lost wrist cannot decide.
        joint_score: joints below it, now or before, do not vote.
        accept_s, accept_keys: key frames that contradict for so long, and so many in a row, are believed. They are mostly right:
            on thirteen clips labelled by a teacher waiting for 0.4 s and three of them cost up to 2 AP.
        max_gap_s: after a longer time without a pose there is no prediction.

    Raises:
        UsageError: a value is out of range.
    """

    closer: float = 0.08
    share: float = 0.5
    reach: float = 0.4
    joint_score: float = 0.25
    accept_s: float = 0.1
    accept_keys: int = 2
    max_gap_s: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.closer < self.reach or not 0 <= self.share <= 1:
            raise UsageError(
                f"swap: closer {self.closer}, reach {self.reach}, share {self.share} are not allowed "
                "(0 < closer < reach, share 0 to 1); keep the defaults"
            )


def swap_groups(skeleton: Skeleton) -> npt.NDArray[np.bool_]:
    """[G, K] masks of the joints that are exchanged together; row 0 exchanges nobody, row 1 everybody with a mirror image."""
    paired = np.array([skeleton.flip[j] != j for j in range(len(skeleton))])

    def named(*parts: str) -> npt.NDArray[np.bool_]:
        return np.asarray([p and n.endswith(parts) for p, n in zip(paired, skeleton.joints, strict=True)], bool)

    groups = [
        np.zeros(len(skeleton), bool), paired, named(*_ARMS), named(*_LEGS), named(*_ARMS, *_LEGS), named(*_ARMS[1:]),
        named(*_LEGS[1:]),
    ]  # fmt: skip
    return np.stack(groups)


@dataclass
class _Past:
    time_s: float
    keypoints: npt.NDArray[np.float64]
    velocity: npt.NDArray[np.float64]
    against_since: float | None = None
    against_keys: int = 0


@dataclass
class SwapCorrector:
    """Feed :meth:`correct` every frame of a person; what it returns is to be exchanged."""

    skeleton: Skeleton = COCO17
    config: SwapConfig = field(default_factory=SwapConfig)
    _past: dict[int, _Past] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._flip = np.array(self.skeleton.flip)
        self._groups = swap_groups(self.skeleton)

    def correct(
        self, person: int, keypoints: FloatArray, size: float, time_s: float, *, key: bool
    ) -> npt.NDArray[np.intp] | None:
        """Compare one pose with its past.

        Args:
            person: track id.
            keypoints: [K, 3] as decoded, frame pixels.
            size: root of the area of the person's box, pixels.
            time_s: of the frame.
            key: the pose owes nothing to the frames before (S-ViPNet).

        Returns:
            None, or [K]: joint j of the corrected pose is joint ``order[j]`` of this one (keypoints and heatmaps alike).
        """
        pose = np.asarray(keypoints, np.float64)
        past = self._past.get(person)
        if past is None or not 0 <= time_s - past.time_s <= self.config.max_gap_s:
            self._past[person] = _Past(time_s, pose, np.zeros((len(pose), 2)))
            return None
        order = self._order(past, pose, max(size, 1.0), time_s)
        if key and order is not None and self._overruled(past, time_s):
            self._past[person] = _Past(time_s, pose, np.zeros((len(pose), 2)))
            return None
        if key and order is None:
            past.against_since, past.against_keys = None, 0
        self._remember(past, pose if order is None else pose[order], time_s)
        return order

    def forget(self, alive: set[int]) -> None:
        """Drop everybody whose id is not in ``alive``."""
        self._past = {person: past for person, past in self._past.items() if person in alive}

    def _order(
        self, past: _Past, pose: npt.NDArray[np.float64], size: float, time_s: float
    ) -> npt.NDArray[np.intp] | None:
        config = self.config
        # Half a step ahead: limbs turn round, and a full one overshoots.
        expected = past.keypoints[:, :2] + 0.5 * past.velocity * (time_s - past.time_s)
        exchanged = pose[self._flip]
        sure = np.minimum(past.keypoints[:, 2], np.minimum(pose[:, 2], exchanged[:, 2])) >= config.joint_score
        plain = _distance(pose, expected, size, config.reach)
        other = _distance(exchanged, expected, size, config.reach)
        votes = self._groups & sure
        count = votes.sum(1)
        gain = np.where(votes, plain - other, 0.0).sum(1)
        best = int(gain.argmax())
        if count[best] < 2:
            return None
        now, then = plain[votes[best]].mean(), other[votes[best]].mean()
        if now - then < config.closer or then > config.share * now:
            return None
        return np.where(self._groups[best], self._flip, np.arange(len(self._flip)))

    def _overruled(self, past: _Past, time_s: float) -> bool:
        """Count a key frame that contradicts the prediction; True when it is to be believed."""
        if past.against_since is None:
            past.against_since = time_s
        past.against_keys += 1
        return past.against_keys >= self.config.accept_keys and time_s - past.against_since >= self.config.accept_s

    @staticmethod
    def _remember(past: _Past, pose: npt.NDArray[np.float64], time_s: float) -> None:
        dt = max(time_s - past.time_s, 1e-3)
        past.velocity = 0.5 * (past.velocity + (pose[:, :2] - past.keypoints[:, :2]) / dt)
        past.keypoints, past.time_s = pose, time_s


def _distance(
    pose: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], size: float, reach: float
) -> npt.NDArray[np.float64]:
    gap = pose[:, :2] - expected
    return np.asarray(np.minimum(np.sqrt((gap * gap).sum(1)) / size, reach))
