"""Is a propagated pose still good? If not, the key network looks at the same frame."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from vipose.runtime.errors import UsageError
from vipose.runtime.geometry import FloatArray
from vipose.runtime.skeleton import COCO17, Skeleton
from vipose.runtime.types import Why

__all__ = ["PoseWatch", "WatchConfig"]


@dataclass(frozen=True)
class WatchConfig:
    """What makes a propagated pose doubtful.

    Attributes:
        low_score: a mean keypoint score below it (and clearly below that of the key frame) …
        fall: … or below this share of that of the key frame.
        jump: median distance of sure joints from where the prediction puts them, in sizes (root of the box's area).
        stretch: a limb this many times longer than it was lately is implausible …
        stretch_sizes: … if that is also so much in sizes.
        limbs: this many implausible limbs are too many.
        joint_score: joints below it are not looked at.
        memory_s: how long a length counts.

    Raises:
        UsageError: a value is out of range.
    """

    low_score: float = 0.2
    fall: float = 0.7
    jump: float = 0.3
    stretch: float = 1.5
    stretch_sizes: float = 0.12
    limbs: int = 2
    joint_score: float = 0.3
    memory_s: float = 1.0

    def __post_init__(self) -> None:
        if self.stretch < 1 or min(self.jump, self.memory_s) <= 0 or not 0 <= self.fall <= 1 or self.limbs < 1:
            raise UsageError("early key frames: stretch must be 1 or more, fall 0 to 1, the rest above 0; keep the defaults")


@dataclass
class _History:
    key_score: float
    lengths: npt.NDArray[np.float64]


@dataclass
class PoseWatch:
    """Judges poses of everybody against their own history."""

    skeleton: Skeleton = COCO17
    config: WatchConfig = field(default_factory=WatchConfig)
    _people: dict[int, _History] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._limbs = np.array(self.skeleton.limbs)

    def judge(self, person: int, pose: FloatArray, predicted: FloatArray | None, size: float) -> Why:
        """Why a propagated pose [K, 3] is not good enough, or "".

        Args:
            person: track id.
            pose: as decoded, frame pixels.
            predicted: [K, 3] where the tracker expected it, None when it cannot say.
            size: root of the area of the person's box, pixels.
        """
        history = self._people.get(person)
        if history is None:
            return ""
        config = self.config
        score = float(pose[:, 2].mean())
        if score < config.fall * history.key_score or score < min(config.low_score, 0.9 * history.key_score):
            return "score"
        if predicted is not None and self._jump(pose, predicted) > config.jump * size:
            return "jump"
        lengths = self._lengths(pose)
        longer = (lengths > config.stretch * history.lengths) & (lengths - history.lengths > config.stretch_sizes * size)
        return "implausible" if np.count_nonzero(longer) >= config.limbs else ""

    def learn(self, person: int, pose: FloatArray, dt_s: float, *, key: bool) -> None:
        """Take a pose that was accepted into the person's history."""
        history = self._people.get(person)
        lengths = self._lengths(pose)
        if history is None:
            self._people[person] = _History(float(pose[:, 2].mean()), lengths)
            return
        # Foreshortening makes limbs shorter, never longer: the longest of late counts, and fades towards the present.
        fade = np.exp(-dt_s / self.config.memory_s)
        old = np.where(np.isnan(history.lengths), lengths, history.lengths)
        faded = lengths + fade * (old - lengths)
        history.lengths = np.where(np.isnan(lengths), old, np.maximum(lengths, faded))
        if key:
            history.key_score = float(pose[:, 2].mean())

    def forget(self, alive: set[int]) -> None:
        """Drop everybody whose id is not in ``alive``."""
        self._people = {person: history for person, history in self._people.items() if person in alive}

    def _jump(self, pose: FloatArray, predicted: FloatArray) -> float:
        sure = np.minimum(pose[:, 2], predicted[:, 2]) >= self.config.joint_score
        if np.count_nonzero(sure) < 3:
            return 0.0
        gap = pose[sure, :2] - predicted[sure, :2]
        squares = np.sort((gap * gap).sum(1))  # np.median takes ten times as long
        return math.sqrt(squares[len(squares) // 2])

    def _lengths(self, pose: FloatArray) -> npt.NDArray[np.float64]:
        """[L] pixels, NaN where a joint is not sure."""
        ends = np.asarray(pose, np.float64)[self._limbs]  # [L, 2, 3]
        gap = ends[:, 0, :2] - ends[:, 1, :2]
        return np.where(ends[..., 2].min(1) >= self.config.joint_score, np.sqrt((gap * gap).sum(1)), np.nan)
