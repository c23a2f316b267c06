"""What is known about one tracked person, and the thresholds that decide over begin and end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from vipose.runtime.associate import moved
from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import FloatArray
from vipose.runtime.kalman import BoxKalman, KalmanConfig

__all__ = ["Track", "TrackConfig", "pose_quality"]

State = Literal["tentative", "confirmed", "lost"]
KalmanState = tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]


@dataclass(frozen=True)
class TrackConfig:
    """When people begin, go on and end.

    Attributes:
        score_threshold: detections from this score on can begin a track; half of it suffices to go on.
        confident: a detection of this score needs no more than a fair pose to be a person, a doubtful one a good pose.
        belief: with less than a good pose, the product of detection score and pose quality must reach this; a little less, on
            average, keeps a person.
        max_people: at most so many people are followed; a newcomer must be clearly better to take another's place.
        max_lost_s: a lost track keeps its id for so long.
        max_undetected_s: keypoints alone carry a track for so long that the detector keeps missing; good ones three times as long.
        hold_s: somebody who is missed by the detector and whose pose is not fair stays for so long.
        max_gap_s: a larger step of time, or one backwards by as much, is a gap: velocities are forgotten.
        match, match_lost, match_cut: least similarity of a detection with somebody in sight, out of sight, and across a cut; see
            ``associate.similarity``.
        joint_score: joints from this score on count.
        fair, good: pose quality from which a pose is some and strong evidence of a person.
        whole: from this share of sure joints on a pose measures the size of its person.
        margin: a body reaches so far beyond its joints, share of their larger extent.
        merge_share: tracks that share this share of their joints are one person ...
        merge_s: ... when they stay so for this time.
        kalman: noise of the box filter.

    Raises:
        UsageError: a value is out of range.
    """

    score_threshold: float = 0.3
    confident: float = 0.5
    belief: float = 0.25
    max_people: int = 20
    max_lost_s: float = 1.5
    max_undetected_s: float = 1.0
    hold_s: float = 0.15
    max_gap_s: float = 0.5
    match: float = 0.35
    match_lost: float = 0.25
    match_cut: float = 0.6
    joint_score: float = 0.2
    fair: float = 0.4
    good: float = 0.55
    whole: float = 0.7
    margin: float = 0.08
    merge_share: float = 0.4
    merge_s: float = 0.1
    kalman: KalmanConfig = field(default_factory=KalmanConfig)

    def __post_init__(self) -> None:
        for name in ("score_threshold", "confident", "match", "match_lost", "match_cut", "joint_score", "merge_share"):
            value = getattr(self, name)
            if not 0 <= value <= 1:
                raise UsageError(f"{name} {value} is not allowed (0 to 1); give a share of one")
        for name in ("max_lost_s", "max_undetected_s", "hold_s", "max_gap_s", "merge_s"):
            value = getattr(self, name)
            if not 0 <= value < float("inf"):
                raise UsageError(f"{name} {value} is not allowed (0 or more seconds); give a time in seconds")
        if self.max_people < 1:
            raise UsageError(f"max_people {self.max_people} is not allowed (1 or more); give a number of people")


@dataclass
class Track:
    """One person; read it, :class:`Tracker` writes it. Times are those of the tracker's own clock, seconds.

    Attributes:
        serial: order of birth; names the track inside the pipeline.
        id: 0 until it is first shown, then 1, 2, ...
        kalman: filter of the box.
        score: detection score, a running mean.
        seen_s, detected_s: last detection or fair pose; last detection.
        misses: detector runs since ``detected_s``.
        keypoints: [K, 3] of the last frame with a pose, frame pixels; ``keypoints_box`` is the box at that time.
        quality: of that pose, see :func:`pose_quality`; ``usual`` is its running mean, 0 before the first.
        jumped: the last detection lay far from the prediction.
        before: state of the filter before the last pose was taken in.
    """

    serial: int
    kalman: BoxKalman
    score: float
    seen_s: float
    detected_s: float
    id: int = 0
    state: State = "tentative"
    misses: int = 0
    keypoints: npt.NDArray[np.float64] | None = None
    keypoints_box: npt.NDArray[np.float64] | None = None
    quality: float = 1.0
    usual: float = 0.0
    jumped: bool = False
    before: KalmanState | None = None

    @property
    def box(self) -> npt.NDArray[np.float64]:
        """[4] x0, y0, x1, y1, frame pixels; may reach beyond the frame."""
        return self.kalman.box

    @property
    def carried(self) -> float:
        """The detection score, carried from one detection to the next; it fades while the detector misses the person."""
        return self.score * 0.9**self.misses

    def predicted(self, joints: int) -> npt.NDArray[np.float64]:
        """Keypoints [K, 3] moved with the box; without a pose yet, points down the middle of the box."""
        box = self.box
        if self.keypoints is None or self.keypoints_box is None:
            down = np.linspace(0, 1, joints)
            x = np.full(joints, (box[0] + box[2]) / 2)
            return np.stack([x, box[1] + down * (box[3] - box[1]), np.ones(joints)], 1)
        return moved(self.keypoints, self.keypoints_box, box)


def pose_quality(keypoints: FloatArray) -> float:
    """Mean score of the better half of the joints of [K, 3]: people cut off by the frame are people too."""
    scores = np.sort(np.asarray(keypoints)[:, 2])[::-1]
    return float(scores[: (len(scores) + 1) // 2].mean())
